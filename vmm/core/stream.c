/* SPDX-License-Identifier: MIT */
#include "vmm/core/stream.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/core/log.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"

#define WAIT_MS 100

int stream_open(struct stream *s, struct platform *p, const char *what, int fd)
{
	int r;

	*s = (struct stream){ .p = p, .what = strdup(what), .out.fd = -1 };
	r = s->what ? outlet_open(&s->out, fd) : -ENOMEM;
	if (r < 0) {
		log_err("%s: %s", what, strerror(-r));
		stream_close(s);
	}
	return r;
}

void stream_close(struct stream *s)
{
	if (!s->what)
		return;
	outlet_close(&s->out);
	free(s->what);
	*s = (struct stream){ .out.fd = -1 };
}

void stream_limit(struct stream *s)
{
	struct stat st;

	if (fstat(s->out.fd, &st) == 0 && S_ISREG(st.st_mode))
		s->limit = s->p->file_limit;
}

/* Threads that write at the same time may each write what there is still room for. */
static ssize_t write_within(struct stream *s, const void *data, size_t len)
{
	uint64_t used = atomic_load(&s->written);
	ssize_t n;

	if (s->limit && used >= s->limit)
		return -EFBIG;
	n = outlet_write(&s->out, data, s->limit ? min_u64(len, s->limit - used) : len);
	if (n > 0)
		atomic_fetch_add(&s->written, n);
	return n;
}

ssize_t stream_try(struct stream *s, const void *data, size_t len)
{
	size_t allowed = platform_allows(s->p, &s->late, len);
	ssize_t n = allowed ? write_within(s, data, allowed) : (ssize_t)len;

	if (n > 0 && allowed)
		platform_wrote(s->p, &s->late, n);
	if (n < 0 && n != -EAGAIN && n != -EPIPE)
		platform_output_failed(s->p, s->what, (int)-n);
	return n;
}

/* False: not any more. */
static bool wait_for_room(struct stream *s)
{
	struct pollfd room = { .fd = s->out.fd, .events = POLLOUT };

	return poll(&room, 1, WAIT_MS) >= 0 && !platform_hurries(s->p);
}

void stream_put(struct stream *s, const void *data, size_t len)
{
	const char *from = data;
	ssize_t n;

	while (len) {
		n = stream_try(s, from, len);
		if (n > 0) {
			from += n;
			len -= n;
		} else if (n != -EAGAIN || !wait_for_room(s)) {
			return;
		}
	}
}
