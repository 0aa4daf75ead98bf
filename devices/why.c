/* SPDX-License-Identifier: MIT */
#include "devices/why.h"

#include <stdarg.h>
#include <stdio.h>

int why_not(struct why *why, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why->text, sizeof(why->text), fmt, ap);
	va_end(ap);
	return err;
}
