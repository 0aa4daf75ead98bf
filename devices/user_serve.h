/* SPDX-License-Identifier: MIT */
/*
 * user_serve.h - the other end of vhost-user: a virtio device of ours behind a
 * socket, for a guest of another process.
 *
 * The device has no transport of its own: its rings are where the client says, in
 * memory of which the client sends the descriptors; kicks and interrupts are
 * eventfds that it sends, too. A client is one process with one guest, and neither
 * is trusted. What a client says is checked, and who says what cannot be is told
 * nothing more: the connection ends, its device stops, and other devices, with
 * threads of their own, go on. Its memory must be a memfd of plain pages that cannot
 * become shorter (F_SEAL_SHRINK), as a look at what is not there, or is gone, would be
 * the end of us.
 */
#ifndef DEVICES_USER_SERVE_H
#define DEVICES_USER_SERVE_H

#include <linux/vhost.h>
#include <stdbool.h>
#include <stdint.h>

#include "virtio/user_msg.h"
#include "virtio/virtio.h"
#include "vmm/core/mem.h"

#define USER_SERVE_RINGS 18

struct user_message {
	struct user_header h;
	union {
		uint64_t u64;
		struct vhost_vring_state state;
		struct vhost_vring_addr addr;
		struct user_memory memory;
		struct user_slot slot;
		struct user_config config;
		struct user_inflight inflight;
		uint8_t raw[USER_PAYLOAD_MAX];
	};
	int fd[USER_FDS_MAX]; /* who keeps one puts -1 in its place */
	unsigned nfds;
	int answer_fd; /* goes with the answer, and is closed; -1: none */
};

struct user_serve_ring {
	uint32_t size, base;
	uint64_t desc, driver, device; /* guest-physical */
	int kick, call, err;           /* -1: none */
	bool enabled;
};

struct user_serve;

/* For who serves more, or hears along; each may be NULL. */
struct user_serve_ops {
	/* A request that is not served here. NULL: it is done, *@answers: with an answer. Else what
	 * is wrong with it. Under the device's lock. */
	const char *(*other)(struct user_serve *s, struct user_message *m, bool *answers);
	/* One has come. False: the connection ends. */
	bool (*heard)(struct user_serve *s, uint32_t request);
	/* Sends an answer in our place. */
	void (*answer)(struct user_serve *s, struct user_message *m);
};

struct user_serve {
	struct virtio_device *vdev;
	const struct user_serve_ops *ops; /* NULL: none */
	void *arg;
	uint64_t protocol; /* bits of enum user_protocol that are offered */
	const char *wrong; /* what the client has done wrong; NULL: nothing */
	int sock;
	/* Its own. */
	uint64_t features, agreed;
	struct mem mem;
	struct user_serve_ring ring[USER_SERVE_RINGS];
};

/*
 * @vdev, of at most USER_SERVE_RINGS queues, has been made by virtio_device_init(), has no
 * transport, and is served by this from now on. [setup]
 */
void user_serve_init(struct user_serve *s, struct virtio_device *vdev);

/*
 * For struct user_serve_ops: the client's memory is @m from now on, of at most MEM_REGIONS regions,
 * ascending, each in one of @fds, which stay the caller's. NULL, or what is wrong with it.
 */
const char *user_serve_map(struct user_serve *s, const struct user_memory *m, const int *fds);

/*
 * Serves one client on @sock, which stays the caller's, until it goes away or does something wrong;
 * then the device is stopped, and nothing of the client's is kept. Any thread, which waits here.
 */
void user_serve_run(struct user_serve *s, int sock);

#endif
