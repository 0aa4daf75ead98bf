/* SPDX-License-Identifier: MIT */
#include "vmm/core/outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/util.h"

/* A file description of our own. -1: there is no name to open it by, or no right to. */
static int open_again(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

int outlet_open(struct outlet *o, int fd)
{
	struct stat st;

	*o = (struct outlet){ .fd = -1 };
	if (fstat(fd, &st) < 0)
		return -errno;
	o->socket = S_ISSOCK(st.st_mode);
	o->terminal = isatty(fd);
	/* One that is not open for writing is not to become so. */
	if ((S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) &&
	    (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY) {
		o->fd = open_again(fd);
		o->shared = o->fd < 0;
	}
	/* A regular file never waits, and its position is the one that others go on from. */
	if (o->fd < 0)
		o->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return o->fd < 0 ? -errno : 0;
}

void outlet_close(struct outlet *o)
{
	if (o->fd >= 0)
		close(o->fd);
	o->fd = -1;
}

/* A terminal that has been hung up, and a socket that was closed with input unread, say it so. */
int outlet_error(const struct outlet *o, int err)
{
	struct pollfd hung = { .fd = o->fd };

	if (err == ECONNRESET && o->socket)
		return EPIPE;
	if (err == EIO && o->terminal && poll(&hung, 1, 0) > 0 && hung.revents & POLLHUP)
		return EPIPE;
	return err;
}

ssize_t outlet_write(struct outlet *o, const void *data, size_t len)
{
	struct pollfd room = { .fd = o->fd, .events = POLLOUT };
	ssize_t n;

	if (o->shared) {
		if (poll(&room, 1, 0) == 0)
			return -EAGAIN;
		len = min_u64(len, PIPE_BUF); /* for so much there is room, if there is any */
	}
	do
		n = o->socket ? send(o->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL) :
				write(o->fd, data, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -outlet_error(o, errno) : n;
}
