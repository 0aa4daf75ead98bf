/* SPDX-License-Identifier: MIT */
#include "vmm/core/iov.h"

#include <string.h>

struct iovcur iov_cursor(const struct iovec *iov, unsigned cnt)
{
	struct iovcur cur = { .iov = iov, .cnt = cnt };
	unsigned i;

	for (i = 0; i < cnt; i++)
		cur.left += iov[i].iov_len;
	return cur;
}

/* The bytes that lie together at the cursor, at most @len; steps over finished elements. */
static size_t piece(struct iovcur *cur, size_t len, char **at)
{
	size_t here;

	while (cur->off == cur->iov->iov_len) {
		cur->iov++;
		cur->cnt--;
		cur->off = 0;
	}
	here = cur->iov->iov_len - cur->off;
	*at = (char *)cur->iov->iov_base + cur->off;
	return here < len ? here : len;
}

static void step(struct iovcur *cur, size_t len)
{
	cur->off += len;
	cur->left -= len;
}

bool iov_pull(struct iovcur *cur, void *dst, size_t len)
{
	char *to = dst, *at;

	if (len > cur->left)
		return false;
	while (len) {
		size_t n = piece(cur, len, &at);

		memcpy(to, at, n);
		step(cur, n);
		to += n;
		len -= n;
	}
	return true;
}

bool iov_put(struct iovcur *cur, const void *src, size_t len)
{
	const char *from = src;
	char *at;

	if (len > cur->left)
		return false;
	while (len) {
		size_t n = piece(cur, len, &at);

		memcpy(at, from, n);
		step(cur, n);
		from += n;
		len -= n;
	}
	return true;
}

bool iov_zero(struct iovcur *cur, size_t len)
{
	char *at;

	if (len > cur->left)
		return false;
	while (len) {
		size_t n = piece(cur, len, &at);

		memset(at, 0, n);
		step(cur, n);
		len -= n;
	}
	return true;
}

struct iovcur iov_split(struct iovcur *cur, size_t len)
{
	struct iovcur head = *cur;
	char *at;

	if (len > cur->left)
		len = cur->left;
	head.left = len;
	while (len) {
		size_t n = piece(cur, len, &at);

		step(cur, n);
		len -= n;
	}
	return head;
}

unsigned iov_export(const struct iovcur *cur, struct iovec *out, unsigned max)
{
	struct iovcur c = *cur;
	unsigned n = 0;
	char *at;

	while (c.left) {
		size_t len = piece(&c, c.left, &at);

		if (n < max)
			out[n] = (struct iovec){ .iov_base = at, .iov_len = len };
		n++;
		step(&c, len);
	}
	return n;
}
