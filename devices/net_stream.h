/*
 * net_stream.h - frames over a stream socket: passt's protocol, which QEMU has too.
 *
 * Before each frame stands its length, 32 bits, big-endian; nothing else is ever sent. So what has
 * been begun must be ended: the rest of a frame that the socket had no room for is copied and kept,
 * and of one that the guest does not want any more the rest is read and thrown away.
 */
#ifndef DEVICES_NET_STREAM_H
#define DEVICES_NET_STREAM_H

struct net_link;

/* Takes over @fd, in every case. NULL: errno tells. [setup] */
struct net_link *net_stream_create(int fd);

#endif
