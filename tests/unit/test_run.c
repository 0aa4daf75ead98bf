/* SPDX-License-Identifier: MIT */
#include "tests/unit/run_fixture.h"

Suite *run_suite(void);

/* The kernel and the initramfs that guest/kernel/build.sh leaves. */
static void make_cache(void)
{
	ck_assert_int_eq(mkdir("lunette", 0700), 0);
	ck_assert_int_eq(mkdir("lunette/kernel-micro", 0700), 0);
	make_file("lunette/kernel-micro/vmlinux", "");
	make_file("lunette/initramfs.cpio", "");
}

START_TEST(defaults)
{
	run("--kernel vmlinux");
	ck_assert_str_eq(err, "");
	ck_assert_str_eq(out,
			 "guest\ncpus=1\nmemory=536870912\nvhost=0\non_enospc=0\ncommit=0\n"
			 "keep=NULL\n"
			 "console_log=NULL\nconsole_limit=67108864\nfile_limit=17179869184\n"
			 "run_ms=0\non_reboot=0\nreboot_limit=10\nboot_ms=0\nkernel=vmlinux\n"
			 "initrds=\nappend=\nat=\nroot=NULL\nnet=none\npublish=\nvsock=NULL\n"
			 "gdb=NULL\nballoon=0\n"
			 "control=NULL\ndump=NULL\ntrace=NULL\noverlay=0\nconsole=0\n"
			 "disks=\ncdroms=\ndevices=\nargv=NULL\ncwd=NULL\nenv=\ntty=0\nshell=0\n"
			 "files=1\nexpect=\nbudget_ms=0\nreported=NULL\n");
	ck_assert_int_eq(status, 201);
}
END_TEST

/* Command lines, and lines of the guest's settings. */
static const struct {
	const char *words, *lines[3];
} filled[] = {
	{ K "--initrd a --initrd b", { "initrds=[a][b]" } },
	{ K "--append quiet --append=root=/dev/sda", { "append=[quiet][root=/dev/sda]" } },
	{ K "--at=0s\tquit --at=console:x\tquit", { "at=[0s\tquit][console:x\tquit]" } },
	{ K "--root lun:3", { "root=lun:3" } },
	{ K "--console hvc", { "console=1" } },
	{ K "--console-log log --console-limit 1M",
	  { "console_log=log", "console_limit=1048576" } },
	{ K "--cpus 64", { "cpus=64" } },
	{ K "--cpus=2 --memory=64M", { "cpus=2", "memory=67108864" } },
	{ K "--memory 3G", { "memory=3221225472" } },
	{ K "--disk a.img --cdrom c.iso --disk b.img,lun=9",
	  { "disks=[a.img][b.img,lun=9]", "cdroms=[c.iso]" } },
	{ K "--device virtio-rng --device virtio-scsi,queues=2",
	  { "devices=[virtio-rng][virtio-scsi,queues=2]" } },
	{ K "--net user --publish 8080:80 --publish udp:53:53",
	  { "net=user", "publish=[8080:80][udp:53:53]" } },
	{ K "--net tap=tap0", { "net=tap=tap0" } },
	{ K "--vsock auto,path=v", { "vsock=auto,path=v" } },
	{ K "--balloon", { "balloon=1" } },
	{ K "--gdb 1234,wait=on", { "gdb=1234,wait=on" } },
	{ K "--vhost off --on-enospc fail", { "vhost=2", "on_enospc=2" } },
	{ K "--vhost on --on-enospc stop", { "vhost=1", "on_enospc=1" } },
	{ K "--overlay on --commit --keep-on-fail kept",
	  { "overlay=1", "commit=1", "keep=kept" } },
	{ K "--commit=off --overlay off", { "commit=0", "overlay=2" } },
	{ K "--control socket --trace scsi=trace", { "control=socket", "trace=scsi=trace" } },
	{ K "--dump-on-fail dumps", { "dump=dumps" } },
	{ K "--on-reboot restart", { "on_reboot=1", "reboot_limit=10" } },
	{ K "--on-reboot end --reboot-limit 3", { "on_reboot=0", "reboot_limit=3" } },
	{ K "--file-limit 64K", { "file_limit=65536" } },
	{ K "--expect lun0.flushes>=1 --expect data.written<1M",
	  { "expect=[lun0.flushes>=1][data.written<1M]" } },
	{ K "--timeout 90s", { "run_ms=90000", "boot_ms=0" } },
	/* With a command. */
	{ K "--initrd i -- echo --kernel x --", { "argv=[echo][--kernel][x][--]",
						  "reported=[echo][--kernel][x][--]" } },
	{ K "--timeout 2h" COMMAND, { "run_ms=7200000", "boot_ms=60000" } },
	{ K "--boot-timeout 1500ms" COMMAND, { "boot_ms=1500" } },
	{ K "--boot-timeout none" COMMAND, { "boot_ms=0" } },
	{ K "--boot-budget 150ms" COMMAND, { "budget_ms=150" } },
	{ K "--env A=1 --env HOME --cwd /srv" COMMAND, { "env=[A=1][HOME]", "cwd=/srv" } },
	{ K COMMAND, { "tty=0", "shell=0", "overlay=0" } }, /* guest.c knows what auto is */
};

START_TEST(options_fill_settings)
{
	unsigned i;

	run(filled[_i].words);
	for (i = 0; i < 3 && filled[_i].lines[i]; i++)
		check_line(filled[_i].words, filled[_i].lines[i]);
	ck_assert_str_eq(err, "");
	ck_assert_int_eq(status, 201);
}
END_TEST

/* What makes no sense, or not with what else is there: one line, and no guest. */
static const struct {
	const char *words, *said;
} wrong[] = {
	{ "", "run: --kernel FILE is missing; lunette run --help tells more" },
	{ "--memory 1G", "run: --kernel FILE is missing; lunette run --help tells more" },
	{ "disk.img", "run: 'disk.img' is no option; a disk is given with --disk, a kernel with "
		      "--kernel, a command after --" },
	{ "--", "run: no command after --" },
	{ K "--", "run: no command after --" },
	{ K "-t", "--tty: stdin is not a terminal" },
	{ K "--reboot-limit 3", "--reboot-limit: is about --on-reboot, which is not given" },
	{ K "--on-reboot restart" COMMAND, "--on-reboot restart: a command runs once" },
	{ K "--at soon", "--at soon: when: time=soon: not a time" },
	{ "-t -- vi", "--tty: stdin is not a terminal" },
	{ K "--console-limit 1M", "--console-limit: is about --console-log, which is not given" },
	{ K "--out-limit 1M" COMMAND, "--out-limit: is about --out, which is not given" },
	{ K "--share .",
	  "--share: is about a command, and there is none; it comes last, after --" },
	{ K "--out o", "--out: is about a command, and there is none; it comes last, after --" },
	{ K "--env A=1", "--env: is about a command, and there is none; it comes last, after --" },
	{ K "--cwd /", "--cwd: is about a command, and there is none; it comes last, after --" },
	{ K "--boot-timeout 1s",
	  "--boot-timeout: is about a command, and there is none; it comes last, after --" },
	{ K "--boot-budget 1s",
	  "--boot-budget: is about a command, and there is none; it comes last, after --" },
	{ K "--cwd srv" COMMAND,
	  "--cwd srv: a path in the guest is wanted that begins with /" },
	{ K "--publish 80:80", "--publish 80:80: needs --net user" },
	{ K "--net none --publish 80:80", "--publish 80:80: needs --net user" },
	{ K "--net tap=tap0 --publish 80:80", "--publish 80:80: needs --net user" },
	{ K "--net bridge", "--net bridge: none, user or tap=NAME is wanted" },
	{ K "--kernel other", "--kernel other: given twice" },
	{ K "--device floppy,help",
	  "--device floppy: there is no such class; --device help lists them" },
};

START_TEST(what_makes_no_sense)
{
	char wanted[512];

	snprintf(wanted, sizeof(wanted), "lunette: error: %s\n", wrong[_i].said);
	run(wrong[_i].words);
	ck_assert_msg(!strncmp(err, wanted, strlen(wanted) - 1), "%s: %s", wrong[_i].words, err);
	ck_assert_ptr_eq(strchr(err, '\n'), err + strlen(err) - 1); /* one line */
	ck_assert_str_eq(out, "");
	ck_assert_int_eq(status, 200);
}
END_TEST

/* Values out of bounds, and words of no list. */
static const char *const bad_values[] = {
	"--cpus 0", "--cpus 65", "--cpus -1", "--cpus two", "--cpus 1.5",
	"--memory 63M", "--memory 513G", "--memory 1.5G", "--memory 99999999999999999999",
	"--console tty", "--vhost maybe", "--on-enospc panic", "--overlay commit", "--commit=maybe",
	"--reboot-limit 0 --on-reboot restart", "--on-reboot again",
	"--timeout 0s", "--timeout 10", "--timeout none", "--timeout 1001h",
	"--file-limit 1K", "--console-log l --console-limit 1K",
	"--expect lun0", "--expect flushes>=1", "--log loud", "--nothing", "--no=thing", "-x",
	"--memory", "--memory --cpus",
};

START_TEST(values_that_make_no_sense)
{
	char words[256];

	snprintf(words, sizeof(words), K "%s", bad_values[_i]);
	run(words);
	ck_assert_msg(status == 200 && !*out, "%s: %d, %s", words, status, err);
	ck_assert_int_eq(strncmp(err, "lunette: error: ", 16), 0);
	ck_assert_ptr_eq(strchr(err, '\n'), err + strlen(err) - 1);
}
END_TEST

/* The small kernel and its initramfs are what commands run on. */
START_TEST(cached_kernel)
{
	char line[200];

	make_cache();
	run("-- true");
	snprintf(line, sizeof(line), "kernel=%s/lunette/kernel-micro/vmlinux", dir);
	check_line("", line);
	snprintf(line, sizeof(line), "initrds=[%s/lunette/initramfs.cpio]", dir);
	check_line("", line);
	run("--kernel micro");
	check_line("", "initrds=");
	run("--kernel micro --initrd mine -- true");
	check_line("", "initrds=[mine]");
	run(K "-- true"); /* one without modules */
	check_line("", "kernel=vmlinux");
	check_line("", line);
}
END_TEST

START_TEST(no_cached_kernel)
{
	char line[300];

	run("--kernel micro -- true");
	snprintf(line, sizeof(line), "lunette: error: --kernel micro: %s/lunette/kernel-micro/"
		 "vmlinux: No such file or directory; 'lunette kernel build' makes it\n", dir);
	ck_assert_str_eq(err, line);
	ck_assert_str_eq(out, "");
	ck_assert_int_eq(status, 201);
}
END_TEST

/* Help is no run. */
START_TEST(help)
{
	static const struct {
		const char *words, *begins;
	} examples[] = {
		{ "--help", "usage: lunette run --kernel FILE" },
		{ K "--disk x --help", "usage: lunette run --kernel FILE" },
		{ "--device virtio-rng,help", "virtio-rng" },
	};
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(examples); i++) {
		run(examples[i].words);
		ck_assert_int_eq(strncmp(out, examples[i].begins, strlen(examples[i].begins)), 0);
		ck_assert_ptr_null(strstr(out, "memory="));
		ck_assert_str_eq(err, "");
		ck_assert_int_eq(status, 0);
	}
}
END_TEST

/* run_check() */

static void add_name(void *arg, const char *key, const char *value)
{
	sprintf((char *)arg + strlen(arg), "%s %s\n", key, value);
}

START_TEST(checked_for_others)
{
	static const char text[] =
		"--memory 1G --cpus 3 --json j --junit u --out o/:/x --trace scsi=t --control c "
		"--console-log l --keep-on-fail k --disk d --kernel vm --initrd i -- true "
		"--json no";
	char copy[sizeof(text)], *words[WORDS_MAX + 1], names[512] = "";
	uint64_t memory = 0;
	unsigned cpus = 0, n;

	strcpy(copy, text);
	n = cut(copy, words);
	ck_assert_int_eq(run_check(n, words, &memory, &cpus, add_name, names), 0);
	ck_assert_uint_eq(memory, 1ull << 30);
	ck_assert_uint_eq(cpus, 3);
	ck_assert_str_eq(names, "--console-log l\n--keep-on-fail k\n--control c\n--trace t\n"
			 "--json j\n--junit u\n--out o/\n");
	ck_assert_str_eq(words[1], "1G"); /* the words are as they were */
}
END_TEST

Suite *run_suite(void)
{
	Suite *s = suite_create("run");
	TCase *tc = unit_case(s, "options");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, defaults);
	tcase_add_loop_test(tc, options_fill_settings, 0, ARRAY_SIZE(filled));
	tcase_add_loop_test(tc, what_makes_no_sense, 0, ARRAY_SIZE(wrong));
	tcase_add_loop_test(tc, values_that_make_no_sense, 0, ARRAY_SIZE(bad_values));
	tcase_add_test(tc, cached_kernel);
	tcase_add_test(tc, no_cached_kernel);
	tcase_add_test(tc, help);
	tcase_add_test(tc, checked_for_others);
	return s;
}

UNIT_MAIN(run_suite)
