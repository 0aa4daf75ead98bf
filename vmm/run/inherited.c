/* SPDX-License-Identifier: MIT */
#include "vmm/run/inherited.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/libc.h"
#include "vmm/core/log.h"
#include "vmm/core/opt.h"
#include "vmm/core/util.h"

#define NOBODY UINT_MAX

/* The lowest descriptor from @from on that @word names, or @found if that is lower. */
static unsigned lowest_in(const char *word, unsigned from, unsigned found)
{
	const char *at;
	unsigned long n;
	char *end;

	for (at = word; (at = strstr(at, "fd")); at += 2) {
		if ((at[2] != '=' && at[2] != '/') || at[3] < '0' || at[3] > '9')
			continue;
		n = strtoul(at + 3, &end, 10);
		if (n >= from && n < found)
			found = n;
	}
	return found;
}

static unsigned lowest_named(char *const *argv, unsigned from)
{
	unsigned found = NOBODY;

	for (; *argv && strcmp(*argv, "--"); argv++)
		found = lowest_in(*argv, from, found);
	return found;
}

void inherited_close(char *const *argv)
{
	unsigned from = STDERR_FILENO + 1, named;

	for (; (named = lowest_named(argv, from)) != NOBODY; from = named + 1) {
		if (named > from)
			close_range(from, named - 1, 0);
	}
	close_range(from, NOBODY, 0);
}

/* Those that getenv() is asked for, and what belongs to every program: see tests/lint.sh. */
static const char *const kept[] = {
	"APT_CONFIG", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PATH", "TERM",
	"TMPDIR", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "ftp_proxy", "http_proxy", "https_proxy",
	"no_proxy",
};

static bool is_variable(const char *string, const char *name)
{
	size_t len = strlen(name);

	return !strncmp(string, name, len) && string[len] == '=';
}

static bool is_kept(const char *string, const struct opt_list *names)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(kept); i++) {
		if (is_variable(string, kept[i]))
			return true;
	}
	for (i = 0; i < names->count; i++) {
		if (is_variable(string, names->item[i]))
			return true;
	}
	return false;
}

int inherited_env(const struct opt_list *names)
{
	char **from, **to, **copy;
	unsigned n = 0;

	for (from = environ; *from; from++)
		n += is_kept(*from, names);
	copy = to = calloc(n + 1, sizeof(*copy));
	for (from = environ; copy && *from; from++) {
		if (is_kept(*from, names) && !(*to++ = strdup(*from)))
			copy = NULL;
	}
	if (!copy) {
		log_err("run: the environment: out of memory");
		return -ENOMEM;
	}
	for (from = environ; *from; from++)
		explicit_bzero(*from, strlen(*from));
	environ = copy;
	return 0;
}
