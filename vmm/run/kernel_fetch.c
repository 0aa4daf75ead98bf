/* SPDX-License-Identifier: MIT */
#include "vmm/run/kernel_fetch.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/child.h"
#include "vmm/core/log.h"
#include "vmm/run/files/cache.h"
#include "vmm/run/kernel/kernel_find.h"

#define GRACE 10000 /* ms that the script has to end in, once it has been seen to */

bool kernel_is_version(const char *text)
{
	static const char letters[] = "0123456789.+-~_abcdefghijklmnopqrstuvwxyz";

	return *text >= '0' && *text <= '9' && !text[strspn(text, letters)];
}

char *kernel_fetch_folder(const char *option)
{
	char *folder = NULL;
	int r = cache_folder("kernels", &folder);

	if (r == 0 || (folder && access(folder, X_OK) == 0)) /* one that can be read has some */
		return folder;
	log_err("%s: %s: %s; XDG_CACHE_HOME names another folder for kernels",
		option, folder ? folder : "kernels", strerror(-r));
	free(folder);
	return NULL;
}

int kernel_fetched(const char *folder, const char *version, struct kernel_found *found)
{
	char *path = NULL, *real = NULL;
	int r = -ENOENT;

	if (asprintf(&path, "%s/%s", folder, version) < 0)
		return -ENOMEM;
	real = realpath(path, NULL);
	if (real)
		r = kernel_find_release(real, found);
	free(real);
	free(path);
	return r;
}

/* What the script says is a line of ours. */
static int run_script(const char *option, const char *version, const char *script,
		      const char *folder)
{
	const char *const argv[] = { script, version, folder, NULL };
	const struct child_spec spec = { .argv = argv, .out = -1, .sig = SIGTERM };
	struct child child = CHILD_NONE;
	char words[700];
	int r = child_start(&child, &spec);

	if (r < 0) {
		log_err("%s %s: %s cannot be run: %s", option, version, script, strerror(-r));
		return r;
	}
	child_await(&child, -1, -1);
	child_words(&child, words, sizeof(words));
	child_end(&child, 0, GRACE);
	if (!*words)
		return 0;
	log_err("%s %s: %s", option, version, words);
	return -ENOENT;
}

int kernel_fetch(const char *option, const char *version, const char *script,
		 struct kernel_found *found)
{
	char *folder;
	int r = -ENOENT;

	if (!script) {
		log_err("%s %s: what fetches it, share/lunette/kernel/fetch.sh, has not been "
			"installed with lunette", option, version);
		return r;
	}
	folder = kernel_fetch_folder(option);
	if (!folder)
		return r;
	if (access(folder, W_OK) < 0) {
		r = -errno;
		log_err("%s %s: %s: %s", option, version, folder, strerror(errno));
	} else {
		r = run_script(option, version, script, folder);
	}
	if (r == 0) {
		r = kernel_fetched(folder, version, found);
		if (r < 0)
			log_err("%s %s: it was to be in %s, and is not", option, version, folder);
	}
	free(folder);
	return r;
}
