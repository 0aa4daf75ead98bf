/* SPDX-License-Identifier: MIT */
/*
 * run_fixture.h
 *
 * "lunette run" up to the guest, which is only a stand-in: it says what it was asked for. Each run
 * is a process of its own, as it closes what it has inherited.
 */
#ifndef TESTS_RUN_FIXTURE_H
#define TESTS_RUN_FIXTURE_H

#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/core/util.h"
#include "vmm/machine/gdb.h"
#include "vmm/machine/console.h"
#include "vmm/machine/crash.h"
#include "vmm/run/guest.h"
#include "vmm/run/report/report.h"
#include "vmm/run/run.h"

#define WORDS_MAX 32

static char dir[] = "/tmp/lunette-run-XXXXXX"; /* where runs run, and where their cache is */
static enum cause create_cause, run_cause;     /* how the guest fares */
static bool disk_hangs;

/* Of the last run. */
static int status;
static char out[16384], err[4096];

/* The guest. What it prints goes to stdout, which a run itself leaves alone. */

static inline void put_list(const char *name, const struct opt_list *list)
{
	unsigned i;

	printf("%s=", name);
	for (i = 0; i < list->count; i++)
		printf("[%s]", list->item[i]);
	printf("\n");
}

static inline void put_text(const char *name, const char *text)
{
	printf("%s=%s\n", name, text ? text : "NULL");
}

static inline void put_words(const char *name, char *const *words)
{
	printf("%s=", name);
	if (!words)
		printf("NULL");
	for (; words && *words; words++)
		printf("[%s]", *words);
	printf("\n");
}

static inline void put_number(const char *name, uint64_t number)
{
	printf("%s=%llu\n", name, (unsigned long long)number);
}

static inline void put_machine(const struct machine_spec *m)
{
	put_number("cpus", m->cpus);
	put_number("memory", m->memory);
	put_number("vhost", m->vhost);
	put_number("on_enospc", m->on_enospc);
	put_number("commit", m->commit);
	put_text("keep", m->keep);
	put_text("console_log", m->console_log);
	put_number("console_limit", m->console_limit);
	put_number("file_limit", m->file_limit);
	put_number("run_ms", m->limits.run);
	put_number("on_reboot", m->on_reboot);
	put_number("reboot_limit", m->reboot_limit);
	put_number("boot_ms", m->limits.boot);
}

enum cause guest_create(struct guest *g, const struct guest_cfg *cfg)
{
	*g = (struct guest){ .cfg = cfg };
	puts("guest");
	put_machine(&cfg->machine);
	put_text("kernel", cfg->kernel);
	put_list("initrds", &cfg->initrds);
	put_list("append", &cfg->append);
	put_list("at", &cfg->at);
	put_text("root", cfg->root);
	put_text("net", cfg->net);
	put_list("publish", &cfg->publish);
	put_text("vsock", cfg->vsock);
	put_text("gdb", cfg->gdb);
	printf("balloon=%d\n", cfg->balloon);
	put_text("control", cfg->control);
	put_text("dump", cfg->dump);
	put_text("trace", cfg->trace);
	put_number("overlay", cfg->overlay);
	put_number("console", cfg->console);
	put_list("disks", &cfg->disks);
	put_list("cdroms", &cfg->cdroms);
	put_list("devices", &cfg->devices);
	put_words("argv", cfg->job.argv);
	put_text("cwd", cfg->job.cwd);
	put_list("env", &cfg->job.env);
	put_number("tty", cfg->job.tty);
	put_number("shell", cfg->job.shell);
	put_number("files", cfg->job.files != NULL);
	put_list("expect", &cfg->expect.disks);
	put_number("budget_ms", cfg->expect.boot_ms);
	put_words("reported", cfg->report->argv);
	return create_cause;
}

enum cause guest_run(struct guest *g)
{
	puts("ran");
	g->machine.signal = SIGTERM;
	if (run_cause == CAUSE_EXIT)
		report_command(g->cfg->report, 7, 0);
	if (disk_hangs)
		g->cfg->abandon(g->cfg->abandon_arg);
	return run_cause;
}

void guest_destroy(struct guest *g)
{
	(void)g;
	puts("destroyed");
}

void crash_leave(int with)
{
	puts("left");
	fflush(stdout);
	_exit(with);
}

/* Of a job these words are all that is looked at. */

int gdb_check(const char *text)
{
	(void)text;
	return 0;
}

void machine_end(struct machine *m, enum cause cause)
{
	(void)m, (void)cause;
}

void console_set_quiet(struct console *con, bool keys)
{
	(void)con, (void)keys;
}

/* Runs */

static inline void set_up(void)
{
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	setenv("XDG_CACHE_HOME", dir, 1);
	create_cause = CAUSE_SETUP;
}

static inline void tear_down(void)
{
	char command[100];

	ck_assert_int_eq(chdir("/"), 0);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static inline void make_file(const char *name, const char *text)
{
	FILE *file = fopen(name, "w");

	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs(text, file), 0);
	fclose(file);
}

static inline unsigned cut(char *text, char *words[WORDS_MAX + 1])
{
	unsigned n = 0;
	char *word;

	for (word = strtok(text, " "); word && n < WORDS_MAX; word = strtok(NULL, " "))
		words[n++] = word;
	words[n] = NULL;
	return n;
}

static inline void take_text(int file, char *text, size_t size)
{
	ssize_t n = pread(file, text, size - 1, 0);

	ck_assert_int_ge(n, 0);
	text[n] = 0;
	close(file);
}

static inline void run_words(unsigned n, char **words)
{
	int to = memfd_create("stdout", 0), to_err = memfd_create("stderr", 0);
	pid_t child;

	fflush(NULL);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
		dup2(to, STDOUT_FILENO);
		dup2(to_err, STDERR_FILENO);
		status = run_main(n, words);
		fflush(stdout);
		_exit(status);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	status = WEXITSTATUS(status);
	take_text(to, out, sizeof(out));
	take_text(to_err, err, sizeof(err));
}

static inline void run(const char *text)
{
	char copy[1024], *words[WORDS_MAX + 1];

	ck_assert_uint_lt(strlen(text), sizeof(copy));
	strcpy(copy, text);
	run_words(cut(copy, words), words);
}

/* What a word in a row stands for is in the guest's settings, on a line of its own. */
static inline void check_line(const char *words, const char *line)
{
	char text[256];

	snprintf(text, sizeof(text), "\n%s\n", line);
	ck_assert_msg(strstr(out, text) != NULL, "%s: no %s in %s%s", words, line, out, err);
}

#define K "--kernel vmlinux "
#define COMMAND " --initrd i -- true"

static inline void read_file(const char *name, char *text, size_t size)
{
	take_text(open(name, O_RDONLY), text, size);
}

#endif
