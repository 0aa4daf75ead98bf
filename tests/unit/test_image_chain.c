/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/block/image_chain.h"
#include "tests/lib/stderr.h"
#include "vmm/core/claim.h"
#include "vmm/core/util.h"

Suite *image_chain_suite(void);

static char dir[] = "/tmp/image-chain-XXXXXX";
static struct image_chain chain;
static struct claims *claims;
static struct stderr_text said;

/* A program of this name, in the folder that PATH begins with. */
static void program(const char *name, const char *script)
{
	FILE *f;

	ck_assert_int_eq(mkdir("bin", 0755) < 0 && errno != EEXIST, 0);
	ck_assert_int_eq(chdir("bin"), 0);
	f = fopen(name, "w");
	fprintf(f, "#!/bin/sh\n%s\n", script);
	fclose(f);
	chmod(name, 0755);
	ck_assert_int_eq(chdir(".."), 0);
}

static void file(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

/* In place of qemu-img: an image's bytes are what it tells. */
static void set_up(void)
{
	char path[sizeof(dir) + 64];

	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	snprintf(path, sizeof(path), "%s/bin:/bin:/usr/bin", dir);
	setenv("PATH", path, 1);
	program("qemu-img", "[ \"$1 $2 $3 $4\" = 'info --output=json -U -f' ] && cat \"$6\"");
	claims = claims_create(false);
	chain = (struct image_chain){ 0 };
}

static void tear_down(void)
{
	image_chain_close(&chain);
	claims_destroy(claims);
	setenv("PATH", "/bin:/usr/bin", 1);
	ck_assert_int_eq(chdir(dir), 0);
	ck_assert_int_eq(system("rm -rf ./*"), 0);
	ck_assert_int_eq(chdir("/"), 0);
	rmdir(dir);
}

static struct block_open how = { .readonly = false, .option = "--disk" };

static int chain_open(const char *path, enum block_format format)
{
	how.path = path;
	how.claims = claims;
	return image_chain_open(&chain, &how, format);
}

#define ALONE "{ \"filename\": \"/proc/self/fd/3\", \"format\": \"qcow2\" }"
#define ON(backing, format) \
	"{ \"backing-filename-format\": \"" format "\", \"filename\": \"/proc/self/fd/3\", " \
	"\"full-backing-filename\": \"/etc/passwd\", \"backing-filename\": \"" backing "\" }"

static const char *put(int first)
{
	static char *text;
	size_t len;
	FILE *out;

	free(text);
	text = NULL;
	out = open_memstream(&text, &len);
	image_chain_put(&chain, first, "threads", false, out);
	fclose(out);
	return text;
}

#define NODE(format, fd) "{\"driver\":\"" format "\",\"discard\":\"unmap\",\"file\":{\"driver\":"  \
	"\"file\",\"filename\":\"/proc/self/fd/" fd "\",\"locking\":\"off\",\"aio\":\"threads\"," \
	"\"discard\":\"unmap\",\"cache\":{\"direct\":false}}"

START_TEST(one_file)
{
	file("x.qcow2", ALONE);
	ck_assert_int_eq(chain_open("x.qcow2", BLOCK_FORMAT_QCOW2), 0);
	ck_assert_uint_eq(chain.n, 1);
	ck_assert(!image_chain_is_even(&chain));
	ck_assert_int_eq(truncate("x.qcow2", 1024), 0);
	ck_assert(image_chain_is_even(&chain));
	ck_assert_int_eq(fcntl(chain.file[0].fd, F_GETFL) & O_ACCMODE, O_RDWR);
	ck_assert_str_eq(put(7), NODE("qcow2", "7") ",\"backing\":null}");
}
END_TEST

/* All that an image would say is said, and what is behind it is opened to be read. */
START_TEST(backing_files)
{
	file("x.qcow2", ON("./b.qcow2", "qcow2"));
	file("b.qcow2", ON("base", "raw"));
	file("base", "");
	ck_assert_int_eq(chain_open("x.qcow2", BLOCK_FORMAT_QCOW2), 0);
	ck_assert_uint_eq(chain.n, 3);
	ck_assert_int_eq(fcntl(chain.file[2].fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	ck_assert_str_eq(put(4), NODE("qcow2", "4") ",\"backing\":" NODE("qcow2", "5")
			 ",\"backing\":" NODE("raw", "6") "}}}");
}
END_TEST

/* What no image may have by its own word. */
static const struct {
	const char *info;
	enum block_format format;
	const char *line;
} rows[] = {
	{ ON("../../etc/passwd", "raw"), BLOCK_FORMAT_QCOW2,
	  "its backing file ../../etc/passwd is not in its folder" },
	{ ON("/etc/passwd", "raw"), BLOCK_FORMAT_QCOW2, "backing=any takes it" },
	{ ON("link", "raw"), BLOCK_FORMAT_QCOW2, "is not in its folder" },
	{ ON("json:{}", "raw"), BLOCK_FORMAT_QCOW2, "json:{} is none by its name" },
	{ ON("nbd://host/x", "raw"), BLOCK_FORMAT_QCOW2, "is none by its name" },
	{ ON("fat:rw:/etc", "raw"), BLOCK_FORMAT_QCOW2, "is none by its name" },
	{ ON("base", "luks"), BLOCK_FORMAT_QCOW2, "may have any format" },
	{ "{\"filename\": \"/proc/self/fd/3\", \"backing-filename\": \"base\"}", BLOCK_FORMAT_QCOW2,
	  "qemu-img rebase -u -b BACKING -F FORMAT FILE" },
	{ ON("base", "raw"), BLOCK_FORMAT_VMDK, "is not taken but by qcow2" },
	{ "{\"data-file\": \"d.raw\"}", BLOCK_FORMAT_QCOW2, "has its data in another file, d.raw" },
	{ "{\"extents\": [{\"filename\": \"/dev/sda\"}], \"filename\": \"/proc/self/fd/3\"}",
	  BLOCK_FORMAT_VMDK, "has its data in another file, /dev/sda" },
	{ ON("gone", "raw"), BLOCK_FORMAT_QCOW2, "gone: cannot be opened: No such file" },
	{ ON("bin", "raw"), BLOCK_FORMAT_QCOW2, "bin: is neither a file nor a block device" },
	{ ON("x", "qcow2"), BLOCK_FORMAT_QCOW2, "x: is attached twice" },
	{ "", BLOCK_FORMAT_VDI, "x: is not to be read as vdi: qemu-img fails" },
};

START_TEST(refused)
{
	file("base", "");
	ck_assert_int_eq(symlink("/etc/passwd", "link"), 0);
	file("x", rows[_i].info);
	stderr_begin(&said);
	ck_assert_int_lt(chain_open("x", rows[_i].format), 0);
	ck_assert_msg(strstr(stderr_end(&said), rows[_i].line), "%s", said.text);
}
END_TEST

START_TEST(anywhere)
{
	file("x", ON("/etc/passwd", "raw"));
	how.backing_anywhere = true;
	ck_assert_int_eq(chain_open("x", BLOCK_FORMAT_QCOW2), 0);
	how.backing_anywhere = false;
	ck_assert_str_eq(chain.file[1].path, "/etc/passwd");
}
END_TEST

/* There is an end to it, although all links are to other files. */
START_TEST(too_long)
{
	char name[32], info[256];
	unsigned i;

	for (i = 0; i <= IMAGE_FILES_MAX; i++) {
		snprintf(name, sizeof(name), "%u", i);
		snprintf(info, sizeof(info), ON("%u", "qcow2"), i + 1);
		file(name, info);
	}
	stderr_begin(&said);
	ck_assert_int_lt(chain_open("0", BLOCK_FORMAT_QCOW2), 0);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "is one too many"));
}
END_TEST

/* Another one writes to what is behind it, or reads what this one writes to. */
START_TEST(locked)
{
	struct image_chain other = { 0 };

	file("x", ON("base", "raw"));
	file("y", ON("base", "raw"));
	file("base", ALONE);
	ck_assert_int_eq(chain_open("x", BLOCK_FORMAT_QCOW2), 0);
	how.path = "y"; /* both read it */
	ck_assert_int_eq(image_chain_open(&other, &how, BLOCK_FORMAT_QCOW2), 0);
	image_chain_close(&other);
	how.path = "base";
	stderr_begin(&said);
	ck_assert_int_eq(image_chain_open(&other, &how, BLOCK_FORMAT_QCOW2), -EBUSY);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "base: is attached twice"));
	image_chain_close(&other);
}
END_TEST

START_TEST(what_the_program_says)
{
	file("x", "");
	program("qemu-img", "echo \"qemu-img: Could not open '$6': Image is odd\" >&2; exit 1");
	stderr_begin(&said);
	ck_assert_int_eq(chain_open("x", BLOCK_FORMAT_VHDX), -EMEDIUMTYPE);
	ck_assert_str_eq(stderr_end(&said),
			 "lunette: error: x: is not to be read as vhdx: Image is odd\n");
	image_chain_close(&chain);
	setenv("PATH", "/nonexistent", 1);
	stderr_begin(&said);
	ck_assert_int_eq(chain_open("x", BLOCK_FORMAT_VHDX), -EMEDIUMTYPE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "as root: apt-get install qemu-utils"));
}
END_TEST

static const struct {
	const char *json, *value;
} texts[] = {
	{ "{\"k\": \"v\"}", "v" },
	{ "{\"k\" :\n\"v\"}", "v" },
	{ "{\"a\": \"\\\"k\\\": \\\"no\\\"\", \"k\": \"v\"}", "v" },
	{ "{\"a\": \"k\", \"k\": \"v\"}", "v" },
	{ "{\"k\": 1, \"kk\": \"no\", \"k\": \"v\"}", "v" },
	{ "{\"k\": \"a\\\"b\\\\c\\/d\\n\\u00e9\\u20ac\\ud83d\\ude00\"}",
	  "a\"b\\c/d\n\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
	{ "{\"k\": \"\"}", "" },
	{ "{\"k\": \"v", NULL },
	{ "{\"k\": \"v\\", NULL },
	{ "{\"k\": \"\\u12", NULL },
	{ "{\"k\": \"\\u0000\"}", NULL },
	{ "{\"k\": \"\\ud83d\\u0041\"}", NULL },
	{ "{\"k\": \"\\x\"}", NULL },
	{ "{\"k\"", NULL },
	{ "", NULL },
};

START_TEST(json)
{
	size_t at = 0;
	char *value = image_json_text(texts[_i].json, "k", &at);

	ck_assert_pstr_eq(value, texts[_i].value);
	free(value);
}
END_TEST

Suite *image_chain_suite(void)
{
	Suite *s = suite_create("image_chain");
	TCase *tc = unit_case(s, "image_chain");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, one_file);
	tcase_add_test(tc, backing_files);
	tcase_add_loop_test(tc, refused, 0, ARRAY_SIZE(rows));
	tcase_add_test(tc, anywhere);
	tcase_add_test(tc, too_long);
	tcase_add_test(tc, locked);
	tcase_add_test(tc, what_the_program_says);
	tcase_add_loop_test(tc, json, 0, ARRAY_SIZE(texts));
	return s;
}

UNIT_MAIN(image_chain_suite)
