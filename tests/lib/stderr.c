#include "tests/lib/stderr.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/core/log.h"

void stderr_begin(struct stderr_text *s)
{
	fflush(stderr);
	s->saved = dup(STDERR_FILENO);
	s->file = memfd_create("stderr", 0);
	BUG_ON(s->saved < 0 || s->file < 0 || fcntl(s->file, F_SETFL, O_APPEND) < 0);
	dup2(s->file, STDERR_FILENO);
}

const char *stderr_end(struct stderr_text *s)
{
	ssize_t n;

	fflush(stderr);
	dup2(s->saved, STDERR_FILENO);
	close(s->saved);
	n = pread(s->file, s->text, sizeof(s->text) - 1, 0);
	s->text[n > 0 ? n : 0] = 0;
	close(s->file);
	return s->text;
}
