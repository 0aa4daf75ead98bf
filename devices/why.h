/* SPDX-License-Identifier: MIT */
/*
 * why.h - the reason why something cannot be, as a sentence without its
 * subject: "PATH: Permission denied; it takes root".
 *
 * For choices with a way out: whoever takes it prints the reason as a note,
 * whoever has none as an error.
 */
#ifndef DEVICES_WHY_H
#define DEVICES_WHY_H

struct why {
	char text[320];
};

/* Returns @err, for "return why_not(why, -ENODEV, ...)". */
int why_not(struct why *why, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
