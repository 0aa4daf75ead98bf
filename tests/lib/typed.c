/* SPDX-License-Identifier: MIT */
#include "tests/lib/typed.h"

#include <stdlib.h>
#include <string.h>

#include "vmm/core/log.h"

int command_typed(int (*fn)(int argc, char **argv), const char *const *words,
		  struct stderr_text *out, struct stderr_text *err)
{
	char *copy[COMMAND_WORDS_MAX], *argv[COMMAND_WORDS_MAX + 1] = { NULL };
	int argc, i, status;

	for (argc = 0; words[argc]; argc++) {
		BUG_ON(argc == COMMAND_WORDS_MAX);
		argv[argc] = copy[argc] = strdup(words[argc]);
	}
	stdout_begin(out);
	stderr_begin(err);
	status = fn(argc, argv);
	stderr_end(err);
	stdout_end(out);
	for (i = 0; i < argc; i++)
		free(copy[i]);
	return status;
}
