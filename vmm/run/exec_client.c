/* SPDX-License-Identifier: MIT */
#include "vmm/run/exec_client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/core/util.h"

/* Who may say what, with how much data. */
static const struct {
	bool guest, client;
	unsigned least, most;
} kinds[EXEC_KINDS] = {
	[EXEC_SPEC] = { .client = true, .least = 1, .most = EXEC_DATA_MAX },
	[EXEC_IN] = { .client = true, .most = EXEC_DATA_MAX },
	[EXEC_SIGNAL] = { .client = true, .least = 1, .most = 1 },
	[EXEC_SIZE] = { .client = true, .least = EXEC_SIZE_LEN, .most = EXEC_SIZE_LEN },
	[EXEC_SHUT] = { .client = true, .least = 1, .most = 1 },
	[EXEC_TAKEN] = { true, true, EXEC_TAKEN_LEN, EXEC_TAKEN_LEN },
	[EXEC_HELLO] = { .guest = true, .least = EXEC_NONCE, .most = EXEC_NONCE },
	[EXEC_STARTED] = { .guest = true },
	[EXEC_OUT] = { .guest = true, .least = 1, .most = EXEC_DATA_MAX },
	[EXEC_ERR] = { .guest = true, .least = 1, .most = EXEC_DATA_MAX },
	[EXEC_FAILED] = { .guest = true, .most = EXEC_TEXT_MAX },
	[EXEC_EXIT] = { .guest = true, .least = 1, .most = 1 },
	[EXEC_KILLED] = { .guest = true, .least = 1, .most = 1 },
};

bool exec_head_is_good(const struct exec_head *h, bool guest)
{
	return h->kind < EXEC_KINDS && !h->zero &&
	       (guest ? kinds[h->kind].guest : kinds[h->kind].client) &&
	       h->len >= kinds[h->kind].least && h->len <= kinds[h->kind].most;
}

void watch(struct loop *loop, struct watch *w, bool on)
{
	if (on && !w->on)
		loop_resume(loop, &w->src);
	else if (!on && w->on)
		loop_pause(loop, &w->src);
	w->on = on;
}

void watch_end(struct loop *loop, struct watch *w)
{
	watch(loop, w, false);
	if (w->src.fd >= 0)
		close(w->src.fd);
	w->src.fd = -1;
}

int watch_both(struct watch *in, struct watch *out, int fd)
{
	in->src.fd = fd;
	out->src.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	out->src.write = true;
	return out->src.fd < 0 ? -errno : 0;
}

void client_free(struct client *c)
{
	*c->place = NULL;
	watch_end(c->loop, &c->in);
	watch_end(c->loop, &c->out);
	free(c);
}

bool client_flush(struct client *c)
{
	ssize_t n = 0;

	while (c->to_at < c->to_end && n >= 0) {
		n = send(c->out.src.fd, c->to + c->to_at, c->to_end - c->to_at,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
		c->to_at += n > 0 ? (size_t)n : 0;
	}
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return false;
	watch(c->loop, &c->out, c->to_at < c->to_end);
	return c->to_at < c->to_end || !c->over;
}

bool client_put(struct client *c, enum exec_kind kind, const void *data, size_t len)
{
	if (sizeof(c->to) - c->to_end < EXEC_HEAD + len) {
		memmove(c->to, c->to + c->to_at, c->to_end - c->to_at);
		c->to_end -= c->to_at;
		c->to_at = 0;
	}
	if (sizeof(c->to) - c->to_end < EXEC_HEAD + len)
		return false;
	exec_head_put(c->to + c->to_end, kind, 0, (unsigned)len);
	if (len)
		memcpy(c->to + c->to_end + EXEC_HEAD, data, len);
	c->to_end += EXEC_HEAD + len;
	return true;
}

void client_ends(struct client *c, unsigned status, const char *text)
{
	uint8_t data[EXEC_TEXT_MAX];
	size_t len = min_u64(strlen(text), sizeof(data) - 1);

	if (c->over || c->gone)
		return;
	data[0] = (uint8_t)status;
	memcpy(data + 1, text, len);
	client_put(c, EXEC_LOST, data, len + 1);
	c->over = true;
	watch(c->loop, &c->in, false);
	watch(c->loop, &c->out, true);
}
