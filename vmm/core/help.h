/* SPDX-License-Identifier: MIT */
/*
 * help.h - help for terminals of 80 columns.
 */
#ifndef CORE_HELP_H
#define CORE_HELP_H

#include <stdbool.h>
#include <stdio.h>

#define HELP_COLUMNS 80

/* "  left  text", the text from @column on, on as many lines as it takes. */
void help_row(FILE *out, unsigned column, const char *left, const char *text);

/* Does somebody ask for help: --help, -h? */
bool help_wanted(const char *word);

#endif
