/* SPDX-License-Identifier: MIT */
/*
 * run_words.c - files that a command line may mean, whether or not it makes sense.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/claim.h"
#include "vmm/run/run.h"

struct listener {
	int folder;
	run_name *fn;
	void *arg;
};

static int hear(const struct listener *to, const char *name, size_t len)
{
	char *path = strndup(name, len);
	int fd = path ? openat(to->folder, path, O_PATH | O_CLOEXEC) : -1, r = 0;

	if (fd >= 0) {
		r = to->fn(to->arg, path, fd);
		close(fd);
	}
	free(path);
	return r;
}

static const char separators[] = "=,:";

/* What begins at @from and ends at a separator, any of those that follow; keys are no names. */
static int hear_from(const struct listener *to, const char *from)
{
	const char *end = from + strcspn(from, separators);
	int r = 0, err;

	for (;; end += 1 + strcspn(end + 1, separators)) {
		err = *end == '=' || end == from ? 0 : hear(to, from, end - from);
		r = r ? r : err;
		if (!*end)
			return r;
	}
}

static int hear_parts(const struct listener *to, const char *word)
{
	const char *from = word;
	int r = 0, err;

	do {
		err = hear_from(to, from);
		r = r ? r : err;
		from += strcspn(from, separators);
	} while (*from++);
	return r;
}

static bool is_report(const char *word)
{
	return !strncmp(word, "--json", 6) || !strncmp(word, "--junit", 7);
}

int run_each_name(int folder, char *const *words, run_name *fn, void *arg)
{
	const struct listener to = { folder, fn, arg };
	int r = 0, err;

	for (; *words && strcmp(*words, "--"); words++) {
		if (is_report(*words)) {
			words += !strchr(*words, '=') && words[1];
			continue;
		}
		err = hear_parts(&to, *words);
		r = r ? r : err;
	}
	return r;
}

static int spare(void *claims, const char *name, int fd)
{
	return claim_spare(claims, name, fd);
}

int run_spare_words(struct claims *claims, int folder, char *const *words)
{
	return run_each_name(folder, words, spare, claims);
}

void run_free_words(char **words)
{
	char **word;

	for (word = words; word && *word; word++)
		free(*word);
	free(words);
}

char **run_copy_words(int argc, char *const *argv)
{
	char **copy = calloc(argc + 1, sizeof(*copy));
	int i;

	for (i = 0; copy && i < argc; i++) {
		copy[i] = strdup(argv[i]);
		if (!copy[i]) {
			run_free_words(copy);
			return NULL;
		}
	}
	return copy;
}
