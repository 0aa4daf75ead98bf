/* SPDX-License-Identifier: MIT */
/*
 * stderr.h - what a piece of code says on stderr, for tests of messages.
 *
 *	stderr_begin(&s);
 *	... the code ...
 *	ck_assert_str_eq(stderr_end(&s), "lunette: error: ...\n");
 */
#ifndef TESTS_STDERR_H
#define TESTS_STDERR_H

struct stderr_text {
	int saved, file;
	char text[8192];
};

void stderr_begin(struct stderr_text *s);
/* The text, at most what fits; lives in @s. */
const char *stderr_end(struct stderr_text *s);

#endif
