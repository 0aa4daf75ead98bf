/* SPDX-License-Identifier: MIT */
/*
 * junit_names.h - names of test cases. A CI system takes two of one class and name for one.
 */
#ifndef RUN_JUNIT_NAMES_H
#define RUN_JUNIT_NAMES_H

#include "vmm/run/report/tap.h"

struct junit_names;

/* Of all tests of @t, which must outlive it. NULL: no memory. */
struct junit_names *junit_names_create(const struct tap *t);
/* NULL is fine. */
void junit_names_destroy(struct junit_names *n);

/* The second "x" among the parts of one test, or outside of all, is "x (2)". */
const char *junit_name(const struct junit_names *n, unsigned test);

/*
 * A command's name, not yet as XML, malloc()ed: its words up to the end of the first line, as a
 * script may have many, and of about 100 bytes at most; "..." stands for the rest. NULL: no memory.
 */
char *junit_command(char *const *argv);

#endif
