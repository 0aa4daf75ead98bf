/* SPDX-License-Identifier: MIT */
/*
 * kernel_cmd.c - "lunette kernel": the kernels that --kernel takes by a name.
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/fail.h"
#include "vmm/core/help.h"
#include "vmm/core/log.h"
#include "vmm/core/near.h"
#include "vmm/core/utf8.h"
#include "vmm/core/util.h"
#include "vmm/machine/cause.h"
#include "vmm/run/files/cache.h"
#include "vmm/run/files/installed.h"
#include "vmm/run/kernel/kernel_check.h"
#include "vmm/run/kernel/kernel_find.h"
#include "vmm/run/kernel/modules.h"
#include "vmm/run/kernel_fetch.h"
#include "vmm/run/run.h"
#include "vmm/run/run_kernel.h"

#define COLUMN 30
#define COMMANDS "list, which, modules, get, build, check"

/* @mark: '*' what a command has, '-' it cannot be had, and @what is why. */
static void print_row(char mark, const char *name, const char *what)
{
	utf8_line(stdout, "%c %-*s %s", mark, COLUMN, name, what);
}

/* Is the first one there? */
static bool list_made(void)
{
	const struct kernel_made *made;
	bool first = false;
	char *path, *where;

	for (made = kernels_made; made->name; made++) {
		where = NULL;
		path = installed_look(made->file, &where);
		first |= path && made == kernels_made;
		print_row(!path ? '-' : made == kernels_made ? '*' : ' ', made->name,
			  path ? path : made->cure);
		free(where);
		free(path);
	}
	return first;
}

static void list_host(bool is_default)
{
	struct kernel_found found;
	char why[600], *text = why;
	int r;

	log_hear(why, sizeof(why));
	r = kernel_find("kernel list:", "host", &found);
	log_hear(NULL, 0);
	if (r < 0 && !strncmp(why, "kernel list: host: ", 19))
		text += 19;
	print_row(r < 0 ? '-' : is_default ? '*' : ' ', "host", r < 0 ? text : found.image);
	kernel_found_free(&found);
}

static int by_version(const struct dirent **a, const struct dirent **b)
{
	return strverscmp((*a)->d_name, (*b)->d_name);
}

static int is_shown(const struct dirent *e)
{
	return kernel_is_version(e->d_name);
}

static void list_fetched(const char *folder)
{
	struct dirent **entry = NULL;
	struct kernel_found found;
	int i, n = scandir(folder, &entry, is_shown, by_version);

	for (i = 0; i < n; i++) {
		if (kernel_fetched(folder, entry[i]->d_name, &found) == 0) {
			print_row(' ', entry[i]->d_name, found.image);
			kernel_found_free(&found);
		}
		free(entry[i]);
	}
	free(entry);
}

static int list(char **words)
{
	char *folder = NULL;

	(void)words;
	list_host(!list_made());
	if (cache_folder("kernels", &folder) == 0 || folder)
		list_fetched(folder);
	free(folder);
	return 0;
}

static int which(char **words)
{
	struct run_kernel k;
	int r = run_kernel_which(words[0], &k);

	if (r == 0)
		utf8_line(stdout, "%s", k.made ? k.made : k.found.image);
	run_kernel_free(&k);
	return r < 0 ? causes[cause_of_err(r)].status : 0;
}

/* All of @fd to stdout. -errno. */
static int print_file(int fd)
{
	char bytes[65536];
	ssize_t n;

	while ((n = read(fd, bytes, sizeof(bytes))) > 0) {
		if (fwrite(bytes, 1, n, stdout) != (size_t)n)
			return -errno;
	}
	return n < 0 || fflush(stdout) == EOF ? -errno : 0;
}

/* Nothing of a kernel that has all built in. */
static int modules(char **words)
{
	struct run_kernel k;
	int r = run_kernel_which(words[0], &k);

	if (r == 0 && k.found.modules && *k.found.release) {
		k.archive = modules_archive("--kernel", &k.found);
		r = k.archive < 0 ? k.archive : lseek(k.archive, 0, SEEK_SET) < 0 ? -errno :
		    print_file(k.archive);
		if (k.archive >= 0 && r < 0)
			log_err("kernel modules: they cannot be written: %s", strerror(-r));
	}
	run_kernel_free(&k);
	return r < 0 ? causes[cause_of_err(r)].status : 0;
}

static int get(char **words)
{
	char *script = installed_script("fetch.sh");
	struct kernel_found found;
	int r = -EUSAGE;

	if (kernel_is_version(words[0]))
		r = kernel_fetch("kernel get", words[0], script, &found);
	else
		log_err("kernel get %s: that is no version, as 6.12 or 6.1.0-32-amd64", words[0]);
	free(script);
	if (r < 0)
		return causes[cause_of_err(r)].status;
	utf8_line(stdout, "%s", found.release);
	kernel_found_free(&found);
	return 0;
}

/* The recipe keeps it where --kernel looks for it, and nowhere else. */
static int check_cache(void)
{
	char *usual = cache_path("."), *folder = NULL;
	int r = cache_folder(".", &folder);

	if (r == 0 && (!usual || strcmp(usual, folder)))
		r = -ENOENT;
	if (r < 0)
		log_err("kernel build: nowhere to keep it: %s cannot be made, or written to; "
			"XDG_CACHE_HOME names another folder", usual ? usual : "the cache");
	free(folder);
	free(usual);
	return r;
}

/* The recipe in our place, so that it has the terminal, and its ^C. */
static int build(char **words)
{
	char *script = installed_script("build.sh");
	char *argv[] = { script, words[0], NULL };
	int r = -ENOENT;

	if (words[0] && strcmp(words[0], "full") && strcmp(words[0], "debug")) {
		log_err("kernel build %s: nothing, full or debug is wanted", words[0]);
		r = -EUSAGE;
	} else if (!script) {
		log_err("kernel build: the recipe, share/lunette/kernel/build.sh, has not been "
			"installed with lunette");
	} else {
		r = check_cache();
	}
	if (r == 0) {
		fflush(stdout);
		execv(script, argv);
		r = -errno;
		log_err("kernel build: %s: %s", script, strerror(errno));
	}
	free(script);
	return causes[cause_of_err(r)].status;
}

static int check(char **words)
{
	return kernel_check_file(words[0]);
}

static const struct {
	const char *name, *arg; /* the second one in brackets: it may be missing; NULL: none */
	int (*fn)(char **words);
	const char *text;
} commands[] = {
	{ "list", NULL, list,
	  "those that run --kernel takes by a name: * is what a command has, - cannot be had" },
	{ "which", "KERNEL", which, "print the file that run --kernel KERNEL boots" },
	{ "modules", "KERNEL", modules,
	  "write those of its modules that a guest needs to stdout, as an initial file system" },
	{ "get", "VERSION", get,
	  "fetch one of this distribution's, the newest whose version begins so; nothing is "
	  "installed" },
	{ "build", "[full|debug]", build,
	  "make the small one, of Debian's source, in some fifteen minutes; full has modules, BPF, "
	  "tracing and packet filters, too; debug is the small one with what GDB needs beside it" },
	{ "check", "FILE", check,
	  "print the options that guests need and a kernel, or a configuration of one, has not, "
	  "as lines for it; after # what works without" },
};

void kernel_help(FILE *out)
{
	char left[32];
	unsigned i;

	fputs("usage: lunette kernel COMMAND [ARGUMENT]\n\n", out);
	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		snprintf(left, sizeof(left), "%s %s", commands[i].name,
			 commands[i].arg ? commands[i].arg : "");
		help_row(out, 16, left, commands[i].text);
	}
	fputs("\nExit status: 0; of check 1 when something is missing; 201 when it cannot be\n"
	      "done, or FILE does not tell.\n", out);
}

/* The place in the table; -1 after one line: no such command, or not with these words. */
static int find(int argc, char **argv)
{
	char meant[NEAR_TEXT];
	const char *arg;
	struct near near;
	unsigned i;

	near_begin(&near, argv[0]);
	for (i = 0; i < ARRAY_SIZE(commands) && strcmp(argv[0], commands[i].name); i++)
		near_try(&near, commands[i].name);
	if (i == ARRAY_SIZE(commands)) {
		log_err("kernel: '%s' is no command%s", argv[0], *near_text(&near, "", meant) ?
			meant : "; there are " COMMANDS);
		return -1;
	}
	arg = commands[i].arg;
	if (argc > 1 + !!arg)
		log_err("kernel %s: '%s' is one word too many", argv[0], argv[1 + !!arg]);
	else if (argc > 1 && argv[1][0] == '-')
		log_err("kernel %s: unknown option %s", argv[0], argv[1]);
	else if (argc == 1 && arg && *arg != '[')
		log_err("kernel %s: %s is missing", argv[0], arg);
	else
		return (int)i;
	return -1;
}

int kernel_main(int argc, char **argv)
{
	int i;

	if (argc && help_wanted(argv[argc - 1])) {
		kernel_help(stdout);
		return 0;
	}
	if (!argc) {
		log_err("kernel: a command is wanted: " COMMANDS);
		return causes[CAUSE_USAGE].status;
	}
	i = find(argc, argv);
	return i < 0 ? causes[CAUSE_USAGE].status : commands[i].fn(argv + 1);
}
