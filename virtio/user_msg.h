/* SPDX-License-Identifier: MIT */
/*
 * user_msg.h - the messages of vhost-user, and how they travel.
 *
 * Two processes of one host speak over a stream socket: a header, a payload of
 * the size that it says, and descriptors beside its first byte. The one that
 * has the guest asks; the server answers where the request has an answer, or
 * where it was told to say whether it has done it (USER_NEED_REPLY). On a second
 * socket it is the other way round. Numbers are the host's own.
 *
 * The other side is not trusted: it may say anything, or nothing. So each call
 * has an end, a message has a bound, and descriptors that come are counted.
 */
#ifndef VIRTIO_USER_MSG_H
#define VIRTIO_USER_MSG_H

#include <stddef.h>
#include <stdint.h>

/* In flags of the header. */
#define USER_VERSION 1u
#define USER_VERSION_MASK 3u
#define USER_REPLY (1u << 2)
#define USER_NEED_REPLY (1u << 3)

/* Of the device's features: there are features of the protocol, too. */
#define USER_F_PROTOCOL 30

enum user_protocol {
	USER_P_MQ = 0,
	USER_P_REPLY_ACK = 3,
	USER_P_BACKEND_REQ = 5,
	USER_P_CONFIG = 9,
	USER_P_INFLIGHT = 12,
	USER_P_RESET_DEVICE = 13,
	USER_P_SLOTS = 15,
	USER_P_STATUS = 16,
};

/* What we have a use for. */
#define USER_PROTOCOL_ALL                                                              \
	(1ull << USER_P_MQ | 1ull << USER_P_REPLY_ACK | 1ull << USER_P_BACKEND_REQ |   \
	 1ull << USER_P_CONFIG | 1ull << USER_P_INFLIGHT | 1ull << USER_P_RESET_DEVICE | \
	 1ull << USER_P_SLOTS | 1ull << USER_P_STATUS)

enum user_request {
	USER_GET_FEATURES = 1,
	USER_SET_FEATURES = 2,
	USER_SET_OWNER = 3,
	USER_SET_MEM_TABLE = 5,
	USER_SET_VRING_NUM = 8,
	USER_SET_VRING_ADDR = 9,
	USER_SET_VRING_BASE = 10,
	USER_GET_VRING_BASE = 11,
	USER_SET_VRING_KICK = 12,
	USER_SET_VRING_CALL = 13,
	USER_SET_VRING_ERR = 14,
	USER_GET_PROTOCOL_FEATURES = 15,
	USER_SET_PROTOCOL_FEATURES = 16,
	USER_GET_QUEUE_NUM = 17,
	USER_SET_VRING_ENABLE = 18,
	USER_SET_BACKEND_REQ_FD = 21,
	USER_GET_CONFIG = 24,
	USER_SET_CONFIG = 25,
	USER_GET_INFLIGHT_FD = 31,
	USER_SET_INFLIGHT_FD = 32,
	USER_RESET_DEVICE = 34,
	USER_GET_MAX_MEM_SLOTS = 36,
	USER_ADD_MEM_REG = 37,
	USER_REM_MEM_REG = 38,
	USER_SET_STATUS = 39,
	USER_REQUESTS
};

/* What a server may ask. */
#define USER_BACKEND_CONFIG_CHANGE 2

#define USER_FDS_MAX 8
#define USER_REGIONS_MAX 8
#define USER_CONFIG_MAX 256
#define USER_RINGS_MAX 256
#define USER_PAYLOAD_MAX 512

struct user_header {
	uint32_t request, flags, size;
};

struct user_region {
	uint64_t gpa, size, address, offset;
};

struct user_memory {
	uint32_t count, padding;
	struct user_region region[USER_REGIONS_MAX];
};

/* One region alone. */
struct user_slot {
	uint64_t padding;
	struct user_region region;
};

struct user_config {
	uint32_t offset, size, flags;
	uint8_t data[USER_CONFIG_MAX];
};

struct user_inflight {
	uint64_t size, offset;
	uint16_t queues, queue_size;
	uint32_t padding;
};

/* As the protocol's document calls it. */
const char *user_name(enum user_request request);

/* CLOCK_MONOTONIC, ms. */
uint64_t user_now(void);

/*
 * Sends a message: @h->size bytes of @payload, and @nfds descriptors, which stay the caller's.
 * Within @ms: -ETIMEDOUT. -EPIPE: nobody is there any more.
 */
int user_send(int sock, const struct user_header *h, const void *payload, const int *fds,
	      unsigned nfds, int ms);

/*
 * Receives one, of at most USER_PAYLOAD_MAX bytes of payload, and the descriptors that come with
 * it, *@nfds of them, the caller's from now on (close-on-exec); none if it fails. As above;
 * -EPROTO: it is longer, or brings more descriptors than USER_FDS_MAX.
 */
int user_recv(int sock, struct user_header *h, void *payload, int fds[USER_FDS_MAX],
	      unsigned *nfds, int ms);

/* The same for bytes that are no such message, of any number. */
int user_put(int sock, const void *bytes, size_t len, const int *fds, unsigned nfds, int ms);
int user_take(int sock, void *bytes, size_t len, int fds[USER_FDS_MAX], unsigned *nfds, int ms);

/* Closes and forgets them. */
void user_close_fds(const int *fds, unsigned *nfds);

#endif
