/* SPDX-License-Identifier: MIT */
#include "virtio/user_msg.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "vmm/core/log.h"

union control {
	struct cmsghdr head;
	char room[CMSG_SPACE(USER_FDS_MAX * sizeof(int))];
};

#define NAME(what) [USER_##what] = #what

static const char *const names[USER_REQUESTS] = {
	NAME(GET_FEATURES), NAME(SET_FEATURES), NAME(SET_OWNER), NAME(SET_MEM_TABLE),
	NAME(SET_VRING_NUM), NAME(SET_VRING_ADDR), NAME(SET_VRING_BASE), NAME(GET_VRING_BASE),
	NAME(SET_VRING_KICK), NAME(SET_VRING_CALL), NAME(SET_VRING_ERR),
	NAME(GET_PROTOCOL_FEATURES), NAME(SET_PROTOCOL_FEATURES), NAME(GET_QUEUE_NUM),
	NAME(SET_VRING_ENABLE), NAME(SET_BACKEND_REQ_FD), NAME(GET_CONFIG), NAME(SET_CONFIG),
	NAME(GET_INFLIGHT_FD), NAME(SET_INFLIGHT_FD), NAME(RESET_DEVICE), NAME(SET_STATUS),
	NAME(GET_MAX_MEM_SLOTS), NAME(ADD_MEM_REG), NAME(REM_MEM_REG),
};

const char *user_name(enum user_request request)
{
	return names[request];
}

uint64_t user_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* After a call has failed: may it be made once more? -errno: no. */
static int await(int sock, short events, uint64_t until)
{
	struct pollfd p = { .fd = sock, .events = events };
	int err = errno;
	uint64_t now;

	if (err == EINTR)
		return 0;
	if (err != EAGAIN)
		return err == ECONNRESET || err == ENOTCONN || err == EBADF ? -EPIPE : -err;
	now = user_now();
	if (now >= until)
		return -ETIMEDOUT;
	poll(&p, 1, until - now);
	return 0;
}

static void put_fds(struct msghdr *m, union control *control, const int *fds, unsigned nfds)
{
	struct cmsghdr *c;

	if (!nfds)
		return;
	memset(control, 0, sizeof(*control));
	m->msg_control = control;
	m->msg_controllen = CMSG_SPACE(nfds * sizeof(int));
	c = CMSG_FIRSTHDR(m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
	memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
}

int user_put(int sock, const void *bytes, size_t len, const int *fds, unsigned nfds, int ms)
{
	uint64_t until = user_now() + ms;
	union control control;
	size_t done = 0;

	BUG_ON(nfds > USER_FDS_MAX);
	while (done < len) {
		struct iovec iov = { (char *)bytes + done, len - done };
		struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n;
		int r;

		put_fds(&m, &control, fds, done ? 0 : nfds);
		n = sendmsg(sock, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		r = n < 0 ? await(sock, POLLOUT, until) : 0;
		if (r < 0)
			return r;
		done += n < 0 ? 0 : n;
	}
	return 0;
}

int user_send(int sock, const struct user_header *h, const void *payload, const int *fds,
	      unsigned nfds, int ms)
{
	uint8_t bytes[sizeof(*h) + USER_PAYLOAD_MAX];

	BUG_ON(h->size > USER_PAYLOAD_MAX);
	memcpy(bytes, h, sizeof(*h));
	if (h->size)
		memcpy(bytes + sizeof(*h), payload, h->size);
	return user_put(sock, bytes, sizeof(*h) + h->size, fds, nfds, ms);
}

void user_close_fds(const int *fds, unsigned *nfds)
{
	while (*nfds)
		close(fds[--*nfds]);
}

/* False: there were more than have room. */
static bool take_fds(struct msghdr *m, int fds[USER_FDS_MAX], unsigned *nfds)
{
	bool all = !(m->msg_flags & MSG_CTRUNC);
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		unsigned i, n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (*nfds < USER_FDS_MAX) {
				fds[(*nfds)++] = fd;
				continue;
			}
			close(fd);
			all = false;
		}
	}
	return all;
}

/* Exactly @len bytes. */
static int receive(int sock, void *data, size_t len, int fds[USER_FDS_MAX], unsigned *nfds,
		   uint64_t until)
{
	union control control;
	size_t done = 0;

	while (done < len) {
		struct iovec iov = { (char *)data + done, len - done };
		struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
				    .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(sock, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		int r = n < 0 ? await(sock, POLLIN, until) : 0;

		if (r < 0)
			return r;
		if (n < 0)
			continue;
		if (!take_fds(&m, fds, nfds))
			return -EPROTO;
		if (n == 0)
			return -EPIPE;
		done += n;
	}
	return 0;
}

int user_take(int sock, void *bytes, size_t len, int fds[USER_FDS_MAX], unsigned *nfds, int ms)
{
	int r;

	*nfds = 0;
	r = receive(sock, bytes, len, fds, nfds, user_now() + ms);
	if (r < 0)
		user_close_fds(fds, nfds);
	return r;
}

int user_recv(int sock, struct user_header *h, void *payload, int fds[USER_FDS_MAX],
	      unsigned *nfds, int ms)
{
	uint64_t until = user_now() + ms;
	int r;

	*nfds = 0;
	r = receive(sock, h, sizeof(*h), fds, nfds, until);
	if (!r && h->size > USER_PAYLOAD_MAX)
		r = -EPROTO;
	if (!r)
		r = receive(sock, payload, h->size, fds, nfds, until);
	if (r < 0)
		user_close_fds(fds, nfds);
	return r;
}
