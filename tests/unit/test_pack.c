/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "guest/pack.h"
#include "tests/lib/stderr.h"
#include "vmm/core/util.h"
#include "vmm/run/files/extract.h"

Suite *pack_suite(void);

static char top[64], why[300];
static int archive;

static void run(const char *command)
{
	char line[2000];

	snprintf(line, sizeof(line), "cd %s && { %s\n}", top, command);
	ck_assert_msg(system(line) == 0, "%s", line);
}

/* top/in is packed, and unpacked into top/out. */
static void set_up(void)
{
	snprintf(top, sizeof(top), "/tmp/lunette-pack-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	run("mkdir in out");
	archive = memfd_create("archive", 0);
	ck_assert_int_ge(archive, 0);
}

static void tear_down(void)
{
	ck_assert_int_eq(chdir("/"), 0);
	run("chmod -R u+rwX . && rm -r $PWD");
	close(archive);
}

static int pack(uint64_t room)
{
	ck_assert_int_eq(chdir(top), 0);
	ck_assert_int_eq(chdir("in"), 0);
	return pack_folder(archive, room, why, sizeof(why));
}

static uint64_t size_of_archive(void)
{
	struct stat st;

	ck_assert_int_eq(fstat(archive, &st), 0);
	ck_assert_uint_eq(st.st_size % 512, 0);
	return st.st_size;
}

/* As lunette does. */
static void unpack(const char *warning)
{
	struct stderr_text said;
	struct timespec t;
	char name[80];
	int sig, r, folder;

	clock_gettime(CLOCK_MONOTONIC, &t);
	snprintf(name, sizeof(name), "%s/out", top);
	folder = open(name, O_RDONLY | O_DIRECTORY);
	stderr_begin(&said);
	r = extract_tar(&(struct extract_cfg){
		.what = "--out", .archive = archive, .size = size_of_archive(), .folder = folder,
		.limit = MIB(64), .entries = 10000, .deadline = t.tv_sec * 1000ull + 60000,
	}, &sig);
	stderr_end(&said);
	close(folder);
	ck_assert_msg(r == 0, "%s", said.text);
	ck_assert_msg(strstr(said.text, warning) && !*warning == !*said.text, "%s", said.text);
}

/* As tar does, which is another opinion of what the archive has. */
static void unpack_by_tar(void)
{
	char line[200];

	snprintf(line, sizeof(line), "tar -xf /proc/%d/fd/%d -C out 2>/dev/null",
		 (int)getpid(), archive);
	ck_assert_int_eq(lseek(archive, 0, SEEK_SET), 0);
	run(line);
}

#define LIST "find . -mindepth 1 -printf '%P %y %m %s %n %T@ %l\\n' | " \
	     "sed 's/\\.[0-9]* / /' | sort; " \
	     "find . -type f ! -size +100M | sort | xargs -d '\\n' -r md5sum"

static void same(void)
{
	run("(cd in; " LIST ") >wanted; (cd out; " LIST ") >got; cmp wanted got || "
	    "{ diff wanted got; exit 1; }");
}

/* What is to be the same afterwards. */
static const char *const trees[] = {
	":",
	"mkdir in/d in/d/e; echo x >in/d/e/f; : >in/empty; chmod 750 in/d; chmod 700 in/d/e",
	"ln -s nowhere in/l; mkdir in/d; ln -s ../l in/d/m; echo x >in/f; ln in/f in/d/g; "
	"ln in/f in/h",
	"printf x >\"in/a  b's \\\"\\\\ *\"; printf y >in/-n; "
	"printf z >\"$(printf 'in/\\303\\251\\377')\"",
	"for n in 511 512 513; do head -c $n /dev/zero >in/$n; done; "
	"head -c 300001 /dev/urandom >in/d",
	"touch -d '1960-01-02 03:04:05' in/old; touch -d '2400-01-01' in/late; "
	"touch -d @0 in/zero",
	/* Names that no field of a header has room for: 100, 101, 255 bytes, deep ones. */
	"n=$(printf %0100d 1); : >in/$n; : >in/1$n; m=1$n; m=$m$m; ln -s $m in/l; ln in/1$n in/h; "
	"mkdir -p in/$m/$m/$m; echo deep >in/$m/$m/$m/f; ln in/$m/$m/$m/f in/$m/hard; "
	"ln in/h in/$m/$m/h; : >\"in/$n$(printf '\\303\\251\\377')\"",
	"for i in $(seq 300); do echo $i >in/$i; done",
};

START_TEST(same_by_lunette)
{
	run(trees[_i]);
	ck_assert_int_eq(pack(MIB(64)), 0);
	unpack("");
	same();
}
END_TEST

START_TEST(same_by_tar)
{
	run(trees[_i]);
	ck_assert_int_eq(pack(MIB(64)), 0);
	unpack_by_tar();
	same();
}
END_TEST

/* Files with holes: at the beginning, in between, at the end, everywhere, and many. */
static const char *const holes[] = {
	"truncate -s 5G in/f; "
	"printf odd | dd of=in/f bs=1 seek=1234567891 conv=notrunc status=none",
	"truncate -s 9G in/f; "
	"printf end | dd of=in/f bs=1 seek=9663676413 conv=notrunc status=none",
	"printf begin >in/f; truncate -s 3000000001 in/f",
	"truncate -s 100G in/f",
	"for i in $(seq 0 2 200); do "
	"printf $i | dd of=in/f bs=4096 seek=$i conv=notrunc status=none; done",
	"n=$(printf %0200d 1); n=in/$n$(printf '\\303\\251'); printf begin >$n; truncate -s 2G $n",
	"truncate -s 4096 in/f; truncate -s 1 in/g; head -c 5000 /dev/zero >in/h; "
	"truncate -s 9000 in/h",
};

#define SPARSE "find . -type f -printf '%s %b\\n' | while read s b; do [ $s -lt 1000000 ] || " \
	       "[ $b -lt 512 ] || exit 1; done"

static void same_with_holes(void)
{
	ck_assert_uint_lt(size_of_archive(), MIB(1));
	same();
	run("cd out && " SPARSE);
	/* Where the data are, too. */
	run("for f in in/*; do cmp \"$f\" out/\"${f#in/}\" -n 2000000 && "
	    "tail -c 2000000 \"$f\" >a && tail -c 2000000 out/\"${f#in/}\" | cmp a && "
	    "tail -c +1234000000 \"$f\" | head -c 1000000 >a && "
	    "tail -c +1234000000 out/\"${f#in/}\" | head -c 1000000 | cmp a || exit 1; done");
}

START_TEST(holes_by_lunette)
{
	run(holes[_i]);
	ck_assert_int_eq(pack(MIB(64)), 0);
	unpack("");
	same_with_holes();
}
END_TEST

START_TEST(holes_by_tar)
{
	run(holes[_i]);
	ck_assert_int_eq(pack(MIB(64)), 0);
	unpack_by_tar();
	same_with_holes();
}
END_TEST

START_TEST(what_is_no_file)
{
	run("mkfifo in/pipe && echo x >in/f");
	ck_assert_int_eq(pack(MIB(64)), 0);
	unpack("1 entry is left out");
	run("[ $(ls out) = f ]");
}
END_TEST

/* Of each size: what fits comes, with its end, and never a byte more is written. */
START_TEST(no_room)
{
	uint64_t room;
	int r;

	run("for i in 1 2 3; do head -c 1000 /dev/urandom >in/$i; done; truncate -s 2G in/4; "
	    "head -c 20000 /dev/urandom >in/large; : >in/$(printf %0200d 5)");
	for (room = 1024; room < 32768; room += 512) {
		ck_assert_int_eq(ftruncate(archive, 0), 0);
		ck_assert_int_eq(lseek(archive, 0, SEEK_SET), 0);
		r = pack(room);
		ck_assert_uint_le(size_of_archive(), room);
		if (r == 0)
			break;
		ck_assert_int_eq(r, -ENOSPC);
		ck_assert_ptr_nonnull(strstr(why, ": no room for it"));
		unpack("");
	}
	ck_assert_uint_gt(room, 20000);
	ck_assert_uint_lt(room, 32768);
	unpack("");
	same();
}
END_TEST

START_TEST(a_disk_that_fails)
{
	run("head -c 1000000 /dev/urandom >in/f");
	close(archive);
	archive = open("/dev/full", O_WRONLY);
	ck_assert_int_eq(pack(MIB(64)), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(why, "the disk: "));
}
END_TEST

Suite *pack_suite(void)
{
	Suite *s = suite_create("pack");
	TCase *tc = unit_case(s, "pack");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, same_by_lunette, 0, ARRAY_SIZE(trees));
	tcase_add_loop_test(tc, same_by_tar, 0, ARRAY_SIZE(trees));
	tcase_add_loop_test(tc, holes_by_lunette, 0, ARRAY_SIZE(holes));
	tcase_add_loop_test(tc, holes_by_tar, 0, ARRAY_SIZE(holes));
	tcase_add_test(tc, what_is_no_file);
	tcase_add_test(tc, no_room);
	tcase_add_test(tc, a_disk_that_fails);
	return s;
}

UNIT_MAIN(pack_suite)
