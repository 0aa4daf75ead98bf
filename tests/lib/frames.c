/* SPDX-License-Identifier: MIT */
#include "tests/lib/frames.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "vmm/core/log.h"

bool frame_say(int fd, enum exec_kind kind, uint32_t id, const void *data, size_t len)
{
	uint8_t raw[EXEC_FRAME_MAX];

	exec_head_put(raw, kind, id, (unsigned)len);
	if (len)
		memcpy(raw + EXEC_HEAD, data, len);
	return send(fd, raw, EXEC_HEAD + len, MSG_NOSIGNAL) == (ssize_t)(EXEC_HEAD + len);
}

static bool hear_bytes(int fd, void *to, size_t len)
{
	return !len || recv(fd, to, len, MSG_WAITALL) == (ssize_t)len;
}

bool frame_hear(int fd, struct frame *f)
{
	uint8_t raw[EXEC_HEAD];

	if (!hear_bytes(fd, raw, sizeof(raw)))
		return false;
	f->head = exec_head_get(raw);
	BUG_ON(f->head.len > EXEC_DATA_MAX);
	f->data[f->head.len] = 0;
	return hear_bytes(fd, f->data, f->head.len);
}

void frame_pair(int fd[2])
{
	struct timeval limit = { .tv_sec = 20 };
	int i;

	BUG_ON(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0);
	for (i = 0; i < 2; i++)
		BUG_ON(setsockopt(fd[i], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0);
}
