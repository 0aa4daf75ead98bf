/* SPDX-License-Identifier: MIT */
/*
 * nbd_uri.h - where an NBD server is, in the words of its protocol's URIs:
 *
 *	nbd://HOST[:PORT][/EXPORT]
 *	nbd+unix:///[EXPORT]?socket=PATH
 */
#ifndef DEVICES_BLOCK_NBD_URI_H
#define DEVICES_BLOCK_NBD_URI_H

#include <stdbool.h>
#include <stdio.h>

/* By how it begins. */
bool nbd_uri_is_one(const char *text);
/* -EUSAGE after one line: there is no such place. */
int nbd_uri_check(const char *text);
/* As JSON, what QEMU calls options; it was checked. A server that has gone is waited for. */
void nbd_uri_put(const char *text, FILE *out);

#endif
