/* SPDX-License-Identifier: MIT */
#include "tests/lib/stderr.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/lib/stdout.h"
#include "vmm/core/log.h"

static void begin(struct stderr_text *s, FILE *stream)
{
	fflush(stream);
	s->saved = dup(fileno(stream));
	s->file = memfd_create("said", 0);
	BUG_ON(s->saved < 0 || s->file < 0 || fcntl(s->file, F_SETFL, O_APPEND) < 0);
	dup2(s->file, fileno(stream));
}

static const char *end(struct stderr_text *s, FILE *stream)
{
	ssize_t n;

	fflush(stream);
	dup2(s->saved, fileno(stream));
	close(s->saved);
	n = pread(s->file, s->text, sizeof(s->text) - 1, 0);
	s->text[n > 0 ? n : 0] = 0;
	close(s->file);
	return s->text;
}

void stderr_begin(struct stderr_text *s)
{
	begin(s, stderr);
}

const char *stderr_end(struct stderr_text *s)
{
	return end(s, stderr);
}

void stdout_begin(struct stderr_text *s)
{
	begin(s, stdout);
}

const char *stdout_end(struct stderr_text *s)
{
	return end(s, stdout);
}
