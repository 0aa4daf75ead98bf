/* SPDX-License-Identifier: MIT */
/*
 * typed.h - a subcommand of lunette, as a user types it, and what it prints.
 */
#ifndef TESTS_TYPED_H
#define TESTS_TYPED_H

#include "tests/lib/stdout.h"

#define COMMAND_WORDS_MAX 32

/* @words end with NULL, @fn gets copies. Returns its status; @out and @err have their text then. */
int command_typed(int (*fn)(int argc, char **argv), const char *const *words,
		  struct stderr_text *out, struct stderr_text *err);

#endif
