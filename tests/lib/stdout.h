/* SPDX-License-Identifier: MIT */
/*
 * stdout.h - what a command prints for its user. As stderr.h has it.
 */
#ifndef TESTS_STDOUT_H
#define TESTS_STDOUT_H

#include "tests/lib/stderr.h"

void stdout_begin(struct stderr_text *s);
/* The text, at most what fits; lives in @s. */
const char *stdout_end(struct stderr_text *s);

#endif
