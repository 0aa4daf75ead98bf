/* SPDX-License-Identifier: MIT */
/*
 * net_passt.h - a network for everybody: passt, started for one device and ending with it.
 *
 * passt (https://passt.top) makes sockets of the host out of the guest's connections, without any
 * rights. It is at the other end of a socket pair that has no name, and ends when this end is
 * closed, however that comes about. What it has to say is heard of only when it fails.
 */
#ifndef DEVICES_NET_PASST_H
#define DEVICES_NET_PASST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct opt_list;

struct passt {
	pid_t pid;    /* our child; 0: none */
	int messages; /* a pipe, what it has written to stderr; -1: none */
};

#define PASST_NONE ((struct passt){ .messages = -1 })

struct passt_cfg {
	const struct opt_list *publish; /* ports of the host's */
	bool host_loopback; /* the guest's gateway is the host, with what listens on 127.0.0.1 */
};

/*
 * @passt is PASST_NONE before, and passt_fini() is due in every case. Starts it for a guest with
 * the given MAC address. Returns the end of the socket once it serves, and the ports are open.
 * -errno after one line that begins with @id. [setup]
 */
int passt_start(struct passt *passt, const char *id, const uint8_t mac[6],
		const struct passt_cfg *cfg);
/*
 * Does the frame that begins so go to an address that would be the host's own loopback where passt
 * opens a socket for it: 127.0.0.0/8 and ::1, what stands for them in IPv6, or no address at all?
 */
bool passt_is_loopback(const uint8_t *head, size_t len);
/* It has gone of itself: says so, and what it has said last. Any thread. */
void passt_report(struct passt *passt, const char *id);
/* After the socket has been closed: waits for its end, if it has been started. */
void passt_fini(struct passt *passt);

#endif
