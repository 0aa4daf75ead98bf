/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/core/claim.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"
#include "vmm/machine/console_log.h"

Suite *console_log_suite(void);

static struct stderr_text err;
static struct console_log *console;
static char dir[40];
static char tail[1 << 20]; /* the lines, each with a newline again */
static unsigned lines;
static struct claims *claims;
static unsigned failures;

static void set_up(void)
{
	strcpy(dir, "/tmp/lunette-log-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	claims = claims_create(false);
	failures = 0;
	console = console_log_create();
	ck_assert_ptr_nonnull(console);
}

static void tear_down(void)
{
	char command[100];

	console_log_destroy(console);
	claims_destroy(claims);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static void has_failed(void *arg)
{
	ck_assert_ptr_eq(arg, console);
	failures++;
}

static int open_log(const char *path)
{
	int r = console_log_open(console, claims, path, KIB(64), has_failed, console);

	if (r == 0)
		ck_assert_int_eq(claims_begin(claims), 0);
	return r;
}

static void print(const char *text)
{
	console_log_write(console, text, strlen(text));
}

static void take(void *arg, const char *line)
{
	size_t *at = arg;

	*at += snprintf(tail + *at, sizeof(tail) - *at, "%s\n", line);
	lines++;
}

static const char *get_tail(void)
{
	size_t at = 0;

	lines = 0;
	tail[0] = 0;
	console_log_tail(console, take, &at);
	return tail;
}

/* What a file has; the test's to free. */
static char *contents(const char *path, size_t *size)
{
	FILE *f = fopen(path, "r");
	char *text = calloc(1, 1 << 20);

	ck_assert_ptr_nonnull(f);
	*size = fread(text, 1, (1 << 20) - 1, f);
	fclose(f);
	return text;
}

static void number_lines(unsigned from, unsigned to)
{
	char line[40];

	for (; from < to; from++) {
		snprintf(line, sizeof(line), "line %u\n", from);
		print(line);
	}
}

START_TEST(nothing_printed)
{
	ck_assert_str_eq(get_tail(), "");
}
END_TEST

static const struct text {
	const char *printed, *tail;
} texts[] = {
	{ "one\ntwo\n", "one\ntwo\n" },
	{ "one\r\ntwo\r\r\n", "one\ntwo\n" },
	{ "no end", "no end\n" },
	{ "\n\na\n", "\n\na\n" },
	{ "tab\there\n", "tab\there\n" },
	{ "\033[31mred\a\177\n", "?[31mred??\n" },
	{ "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\n", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\n" },
	{ "\xff\xc0\xaf|\xed\xa0\x80|\xf4\x90\x80\x80|\xe2\x82\n", "???|???|????|??\n" },
	{ "\xf0\x9f", "??\n" },
	{ "\xe0\x80\x80\xf0\x80\x80\x80\xc2", "????????\n" },
};

START_TEST(clean)
{
	print(texts[_i].printed);
	ck_assert_str_eq(get_tail(), texts[_i].tail);
}
END_TEST

START_TEST(byte_by_byte)
{
	const char *c;

	for (c = "a\xc3\xa9\r\nb"; *c; c++)
		console_log_write(console, c, 1);
	console_log_write(console, "\0\n", 2);
	ck_assert_str_eq(get_tail(), "a\xc3\xa9\nb?\n");
}
END_TEST

START_TEST(last_hundred)
{
	number_lines(0, 5000);
	get_tail();
	ck_assert_uint_eq(lines, 100);
	ck_assert_int_eq(strncmp(tail, "line 4900\n", 10), 0);
	ck_assert_ptr_nonnull(strstr(tail, "line 4999\n"));
}
END_TEST

/* However long lines are, memory is not more; a line whose beginning is lost is not shown. */
START_TEST(long_lines_are_cut)
{
	static char line[2001];
	unsigned i;

	memset(line, 'x', 2000);
	line[1999] = '\n';
	for (i = 0; i < 100; i++)
		print(line);
	get_tail();
	ck_assert_uint_eq(lines, 65536 / 2000);
	ck_assert_uint_eq(strchr(tail, '\n') - tail, CONSOLE_LOG_LINE_MAX);
	ck_assert_int_eq(strncmp(tail + CONSOLE_LOG_LINE_MAX - 4, "x...\n", 5), 0);
}
END_TEST

/* As many short ends as can be: what is handed out is longer than what was printed. */
START_TEST(lengths_around_the_limit)
{
	static char line[CONSOLE_LOG_LINE_MAX + 2];
	unsigned i;

	memset(line, 'y', CONSOLE_LOG_LINE_MAX - 2);
	line[CONSOLE_LOG_LINE_MAX - 2] = '\n';
	print("Kernel panic - not syncing\n"); /* all that is kept is shown */
	for (i = 0; i < 125; i++)
		print(line);
	get_tail();
	ck_assert_uint_eq(lines, 126);
}
END_TEST

START_TEST(one_endless_line)
{
	unsigned i;

	for (i = 0; i < 10000; i++)
		print("0123456789");
	get_tail();
	ck_assert_uint_eq(lines, 1);
	ck_assert_uint_eq(strlen(tail), CONSOLE_LOG_LINE_MAX + 1);
}
END_TEST

static unsigned times(const char *text)
{
	const char *at = tail;
	unsigned n = 0;

	while ((at = strstr(at, text))) {
		n++;
		at++;
	}
	return n;
}

/* A quiet Linux prints its last words, and then its whole log, they among it. */
START_TEST(panic_comes_once)
{
	print("[    5.0] BUG: unable to handle\n[    5.0] Kernel panic - not syncing: x\n"
	      "[    0.0] Linux version 6.1\n");
	number_lines(0, 50);
	print("[    5.0] BUG: unable to handle\n[    5.0] Kernel panic - not syncing: x\n");
	get_tail();
	ck_assert_uint_eq(lines, 53);
	ck_assert_int_eq(strncmp(tail, "[    0.0] Linux", 15), 0);
	ck_assert_uint_eq(times("Kernel panic"), 1);
}
END_TEST

START_TEST(panic_comes_whole)
{
	number_lines(0, 10);
	print("[    5.0] BUG: unable to handle\n");
	number_lines(10, 200);
	print("[    5.0] Kernel panic - not syncing: x\n");
	get_tail();
	ck_assert_uint_eq(lines, 192);
	ck_assert_int_eq(strncmp(tail, "[    5.0] BUG", 13), 0);
}
END_TEST

START_TEST(file_has_it_as_printed)
{
	size_t size;
	char *text;

	print("before");
	ck_assert_int_eq(open_log("log"), 0);
	console_log_write(console, "a\0b\r\n\377", 6);
	text = contents("log", &size);
	ck_assert_uint_eq(size, 6);
	ck_assert_mem_eq(text, "a\0b\r\n\377", 6);
	free(text);
}
END_TEST

static unsigned long number_after(const char *text, const char *words)
{
	const char *at = strstr(text, words);

	ck_assert_ptr_nonnull(at);
	return strtoul(at + strlen(words), NULL, 10);
}

/* Nothing is missing between the two files, and what is said to be dropped was. */
START_TEST(file_is_bounded)
{
	size_t size, older, printed = 0;
	char *text, *old;
	unsigned i;

	ck_assert_int_eq(open_log("log"), 0);
	for (i = 0; i < 20000; i++) {
		char line[40];

		printed += snprintf(line, sizeof(line), "line %u\n", i);
		print(line);
	}
	text = contents("log", &size);
	old = contents("log.1", &older);
	ck_assert_uint_le(size, KIB(32));
	ck_assert_uint_eq(older, KIB(32));
	ck_assert_uint_eq(number_after(text, "lunette: "), older);
	/* Each file but the first has a line of ours; the dropped ones' are counted. */
	ck_assert_uint_eq(number_after(text, "file .1; ") % KIB(32), 0);
	ck_assert_ptr_nonnull(strstr(old, "bytes before this line are in the file .1"));
	ck_assert_uint_ge(number_after(text, "file .1; ") + older + size, printed);
	ck_assert_ptr_nonnull(strstr(text, "line 19999\n"));
	free(text);
	free(old);
}
END_TEST

static const struct bad {
	const char *path, *says;
} bads[] = {
	{ "none/log", "--console-log none/log: No such file" },
	{ ".", "--console-log .: Is a directory" },
	{ "/dev/null", "--console-log /dev/null: a regular file is wanted" },
	{ "pipe", "--console-log pipe: a regular file is wanted" },
};

START_TEST(refused)
{
	ck_assert_int_eq(mkfifo("pipe", 0600), 0);
	stderr_begin(&err);
	ck_assert_int_lt(open_log(bads[_i].path), 0);
	ck_assert_ptr_nonnull(strstr(stderr_end(&err), bads[_i].says));
	print("goes on\n");
	ck_assert_str_eq(get_tail(), "goes on\n");
}
END_TEST

/* A folder in the place of FILE.1: one line, and who runs the guest hears of it once. */
START_TEST(no_second_file)
{
	size_t size;

	ck_assert_int_eq(mkdir("log.1", 0700), 0);
	ck_assert_int_eq(mkdir("log.1/x", 0700), 0);
	ck_assert_int_eq(open_log("log"), 0);
	stderr_begin(&err);
	number_lines(0, 10000);
	stderr_end(&err);
	ck_assert_ptr_nonnull(strstr(err.text, "--console-log log: cannot go on in a new file: "));
	ck_assert_uint_eq(failures, 1);
	ck_assert_ptr_eq(strchr(err.text, '\n'), strrchr(err.text, '\n'));
	free(contents("log", &size));
	ck_assert_uint_eq(size, KIB(32));
	get_tail();
	ck_assert_uint_eq(lines, 100);
}
END_TEST

static int reads(const char *name)
{
	int fd = open(name, O_RDONLY), r;
	struct claim *claim;

	ck_assert_int_ge(fd, 0);
	r = claim_read(claims, name, fd, false, &claim);
	close(fd);
	return r;
}

/* FILE.1 would be lost, so it is none of the run's other files, also when it is plugged later. */
START_TEST(second_file_of_others)
{
	size_t size;

	fclose(fopen("log.1", "w"));
	ck_assert_int_eq(reads("log.1"), 0);
	stderr_begin(&err);
	ck_assert_int_eq(open_log("log"), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&err), "--console-log log: log.1: is the same"));
	console_log_destroy(console);
	console = console_log_create();
	ck_assert_int_eq(open_log("log2"), 0);
	fclose(fopen("log2.1", "w"));
	ck_assert_int_eq(reads("log2.1"), 0);
	stderr_begin(&err);
	number_lines(0, 10000);
	stderr_end(&err);
	ck_assert_uint_eq(failures, 1);
	free(contents("log2.1", &size));
	ck_assert_uint_eq(size, 0);
}
END_TEST

/* Each file has its name on the list: no disk can be one of the two. */
START_TEST(files_stay_claimed)
{
	ck_assert_int_eq(open_log("log"), 0);
	number_lines(0, 20000);
	stderr_begin(&err);
	ck_assert_int_eq(reads("log"), -EUSAGE);
	ck_assert_int_eq(reads("log.1"), -EUSAGE);
	stderr_end(&err);
}
END_TEST

START_TEST(cannot_be_written)
{
	const struct rlimit limit = { 1000, RLIM_INFINITY };
	size_t size;

	ck_assert_int_eq(open_log("log"), 0);
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	stderr_begin(&err);
	number_lines(0, 10000);
	stderr_end(&err);
	ck_assert_uint_eq(failures, 1);
	ck_assert_ptr_nonnull(strstr(err.text, "error: --console-log log: cannot be written: File "
					       "too large\n"));
	free(contents("log", &size));
	ck_assert_uint_eq(size, 1000);
}
END_TEST

static void *printer(void *arg)
{
	unsigned i;

	for (i = 0; i < 1000; i++)
		print(arg);
	return NULL;
}

START_TEST(many_threads)
{
	static char a[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", b[] = "bbbbbbbbbbbbbbbbbbbbbbb\n";
	pthread_t one, two;
	const char *line;
	char *rest;

	ck_assert_int_eq(open_log("log"), 0);
	ck_assert_int_eq(pthread_create(&one, NULL, printer, a), 0);
	ck_assert_int_eq(pthread_create(&two, NULL, printer, b), 0);
	get_tail();
	pthread_join(one, NULL);
	pthread_join(two, NULL);
	get_tail();
	ck_assert_uint_eq(lines, 100);
	for (line = strtok_r(tail, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		ck_assert_uint_eq(strlen(line), (*line == 'a' ? strlen(a) : strlen(b)) - 1);
}
END_TEST

Suite *console_log_suite(void)
{
	Suite *s = suite_create("console_log");
	TCase *tc = unit_case(s, "tail");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, nothing_printed);
	tcase_add_loop_test(tc, clean, 0, ARRAY_SIZE(texts));
	tcase_add_test(tc, byte_by_byte);
	tcase_add_test(tc, last_hundred);
	tcase_add_test(tc, long_lines_are_cut);
	tcase_add_test(tc, lengths_around_the_limit);
	tcase_add_test(tc, one_endless_line);
	tcase_add_test(tc, panic_comes_once);
	tcase_add_test(tc, panic_comes_whole);
	tcase_add_test(tc, many_threads);
	tc = unit_case(s, "file");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, file_has_it_as_printed);
	tcase_add_test(tc, file_is_bounded);
	tcase_add_loop_test(tc, refused, 0, ARRAY_SIZE(bads));
	tcase_add_test(tc, no_second_file);
	tcase_add_test(tc, second_file_of_others);
	tcase_add_test(tc, files_stay_claimed);
	tcase_add_test(tc, cannot_be_written);
	return s;
}

UNIT_MAIN(console_log_suite)
