/* SPDX-License-Identifier: MIT */
/*
 * magic.h - files that have to be unpacked or converted before they are a disk
 * or a kernel, by the bytes that their formats begin with, or end with.
 */
#ifndef CORE_MAGIC_H
#define CORE_MAGIC_H

#include <stddef.h>
#include <stdint.h>

#define MAGIC_HEAD 512 /* bytes that are looked at; and as many of the end */

struct magic {
	int off;           /* below 0: from the end */
	const char *bytes;
	unsigned len;
	const char *kind;  /* "gzip data" */
	const char *cure;  /* a command that makes something raw of FILE, or what else is right */
	const char *format; /* its name, where a program can serve it as a disk; NULL: none can */
};

/*
 * The row that fits. @head has the first @len bytes, @tail the last MAGIC_HEAD ones; NULL: these
 * are not looked at. NULL: none does.
 */
const struct magic *magic_find(const uint8_t *head, size_t len, const uint8_t *tail);

#endif
