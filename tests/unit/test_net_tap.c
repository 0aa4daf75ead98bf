/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/net_link.h"
#include "devices/net_tap.h"
#include "tests/lib/net_driver.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"

Suite *net_tap_suite(void);

#define F(bit) VIRTIO_BIT(VIRTIO_NET_F_##bit)

static int peer; /* of a socket that keeps messages apart, as a tap does */
static struct net_link *link_;
static uint8_t hdr[NET_HDR_LEN], got[4096], wanted[4096];

static void set_up(void)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	peer = pair[0];
	link_ = net_tap_create(pair[1], 0);
	ck_assert_ptr_nonnull(link_);
}

static void tear_down(void)
{
	link_->ops->destroy(link_);
	close(peer);
}

static ssize_t receive_into(size_t room)
{
	struct iovec iov[2] = { { got, room / 2 }, { got + room / 2, room - room / 2 } };

	ck_assert_int_eq(link_->ops->next(link_), NET_FRAME_MAX);
	return link_->ops->receive(link_, hdr, iov_cursor(iov, 2));
}

static void host_sends(size_t len, uint32_t seed)
{
	uint8_t msg[NET_HDR_LEN + sizeof(wanted)];

	memset(msg, 0xa5, NET_HDR_LEN);
	net_fill(msg + NET_HDR_LEN, len, seed);
	ck_assert_int_eq(send(peer, msg, NET_HDR_LEN + len, 0), NET_HDR_LEN + len);
}

START_TEST(receives_frame_and_header)
{
	ck_assert_int_eq(receive_into(1514), -EAGAIN);
	host_sends(1514, 1);
	host_sends(60, 2);
	ck_assert_int_eq(receive_into(1514), 1514);
	net_fill(wanted, 1514, 1);
	ck_assert_mem_eq(got, wanted, 1514);
	ck_assert_uint_eq(hdr[0], 0xa5);
	link_->ops->forget(link_);
	ck_assert_int_eq(receive_into(1514), 60);
}
END_TEST

START_TEST(frame_without_room_is_lost)
{
	host_sends(1515, 1);
	host_sends(1514, 2);
	host_sends(1, 3);
	ck_assert_int_eq(receive_into(1514), -EMSGSIZE);
	ck_assert_int_eq(receive_into(1514), 1514);
	ck_assert_int_eq(receive_into(0), -EMSGSIZE);
	ck_assert_int_eq(send(peer, hdr, NET_HDR_LEN, 0), NET_HDR_LEN); /* and no frame */
	ck_assert_int_eq(receive_into(1514), -EMSGSIZE);
}
END_TEST

START_TEST(sends_frame_and_header)
{
	uint8_t frame[60], msg[NET_HDR_LEN + sizeof(frame) + 1];
	struct iovec iov[2] = { { frame, 14 }, { frame + 14, 46 } };

	hdr[0] = 0x5a;
	net_fill(frame, sizeof(frame), 3);
	ck_assert_int_eq(link_->ops->send(link_, hdr, iov_cursor(iov, 2)), 0);
	ck_assert_int_eq(link_->ops->flush(link_), 0);
	ck_assert_int_eq(recv(peer, msg, sizeof(msg), 0), NET_HDR_LEN + sizeof(frame));
	ck_assert_mem_eq(msg, hdr, NET_HDR_LEN);
	ck_assert_mem_eq(msg + NET_HDR_LEN, frame, sizeof(frame));
}
END_TEST

START_TEST(frame_that_finds_no_room_is_lost)
{
	struct iovec iov = { wanted, 1514 };
	unsigned n = 0;

	while (link_->ops->send(link_, hdr, iov_cursor(&iov, 1)) == 0)
		ck_assert_uint_lt(n++, 100000);
	ck_assert_int_eq(link_->ops->flush(link_), 0); /* nobody waits for it */
}
END_TEST

START_TEST(interface_goes_away)
{
	shutdown(peer, SHUT_RDWR);
	ck_assert_int_eq(receive_into(1514), -EPIPE);
}
END_TEST

START_TEST(names_that_no_interface_has)
{
	uint16_t mtu;

	ck_assert_ptr_null(net_tap_open("n0", _i ? "sixteen-letters-" : "", &mtu));
	ck_assert_int_eq(errno, EUSAGE);
}
END_TEST

/* The whole device over such a link. A real one is asked what it can do by ioctls. */

static struct testbed tb;
static struct vdriver v;
static struct net_link_ops ops;
static struct virtio_class class;
static struct virtio_device vdev;
static struct net_host host;
static uint64_t told; /* what the driver has chosen */

static int take_features(struct net_link *link, uint64_t features)
{
	(void)link;
	told = features;
	return 0;
}

static void kick(struct virtio_device *dev, unsigned q)
{
	(void)dev;
	net_host_kick(&host, q);
}

static int queue_start(struct virtio_device *dev, unsigned q, struct loop *loop)
{
	(void)dev;
	return net_host_start(&host, q, loop);
}

static void queue_stop(struct virtio_device *dev, unsigned q)
{
	(void)dev;
	net_host_stop(&host, q);
}

static void set_up_device(void)
{
	struct virtio_spec spec = { .name = "n0", .class = &class, .nvq = NET_QUEUES,
				    .queue_size = NET_QUEUE_SIZE, .transport = VIRTIO_ON_PCI };

	set_up();
	testbed_init(&tb);
	ops = *link_->ops;
	ops.set_features = take_features;
	link_->ops = &ops;
	link_->features = F(CSUM) | F(HOST_TSO4) | F(HOST_TSO6) | F(HOST_ECN) | F(GUEST_CSUM);
	class = (struct virtio_class){
		.name = "network", .id = VIRTIO_ID_NET, .kick = kick, .queue_start = queue_start,
		.queue_stop = queue_stop, .features = link_->features | F(MRG_RXBUF),
	};
	vdev = (struct virtio_device){ 0 };
	host = (struct net_host){ 0 };
	net_host_init(&host, &vdev, link_);
	ck_assert_int_eq(virtio_make(&vdev, &tb.p, &spec), 0);
	testbed_start(&tb);
}

static void tear_down_device(void)
{
	vdriver_fini(&v);
	virtio_unmake(&vdev);
	net_host_fini(&host);
	testbed_fini(&tb);
	close(peer);
}

static void start(uint64_t features)
{
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, features, NET_QUEUES, 64));
}

/* A header and what becomes of it; a frame of 100 bytes. */
struct header_case {
	uint64_t features;
	uint8_t flags, type;
	uint16_t hdr_len, size, start, offset;
	bool lost;
	struct virtio_net_hdr_v1 seen;
};

#define CSUM VIRTIO_NET_HDR_F_NEEDS_CSUM
#define TCPV4 VIRTIO_NET_HDR_GSO_TCPV4
#define TCPV6 VIRTIO_NET_HDR_GSO_TCPV6
#define UDP VIRTIO_NET_HDR_GSO_UDP
#define ECN VIRTIO_NET_HDR_GSO_ECN

static const struct header_case headers[] = {
	{ NET_ALL, CSUM, 0, 0, 0, 34, 16, false,
	  { .flags = CSUM, .csum_start = 34, .csum_offset = 16 } },
	{ NET_ALL, CSUM, 0, 0, 0, 82, 16, false,
	  { .flags = CSUM, .csum_start = 82, .csum_offset = 16 } },
	{ NET_ALL, CSUM, 0, 0, 0, 83, 16, true, { 0 } }, /* behind the end */
	{ NET_ALL, CSUM, 0, 0, 0, 0xffff, 0xffff, true, { 0 } },
	{ NET_ALL, CSUM, TCPV4, 54, 1448, 34, 16, false,
	  { .flags = CSUM, .gso_type = TCPV4, .hdr_len = 54, .gso_size = 1448, .csum_start = 34,
	    .csum_offset = 16 } },
	{ NET_ALL, CSUM, TCPV6 | ECN, 0xffff, 1, 54, 16, false, /* no more header than frame */
	  { .flags = CSUM, .gso_type = TCPV6 | ECN, .hdr_len = 100, .gso_size = 1,
	    .csum_start = 54, .csum_offset = 16 } },
	{ NET_ALL, CSUM, TCPV4, 54, 0, 34, 16, true, { 0 } }, /* segments of nothing */
	{ NET_ALL, 0, TCPV4, 54, 1448, 34, 16, true, { 0 } }, /* which have no checksums */
	{ NET_ALL, CSUM, UDP, 42, 1448, 34, 6, true, { 0 } }, /* was not offered */
	{ NET_ALL, CSUM, 2, 42, 1448, 34, 6, true, { 0 } },
	{ ~F(HOST_ECN), CSUM, TCPV4 | ECN, 54, 1448, 34, 16, true, { 0 } },
	{ ~F(HOST_TSO4), CSUM, TCPV4, 54, 1448, 34, 16, true, { 0 } },
	{ ~(F(CSUM) | F(HOST_TSO4)), CSUM, 0, 0, 0, 34, 16, true, { 0 } },
	/* What a device is to ignore does not come through. */
	{ NET_ALL, 0xfe, 0, 20, 99, 1, 2, false, { .hdr_len = 20 } },
};

START_TEST(header_is_checked)
{
	const struct header_case *c = &headers[_i];
	uint8_t frame[100], msg[NET_HDR_LEN + sizeof(frame) + 1];

	start(c->features);
	ck_assert_uint_eq(told, v.accepted);
	hdr[0] = c->flags;
	hdr[1] = c->type;
	le16_put(hdr + 2, c->hdr_len);
	le16_put(hdr + 4, c->size);
	le16_put(hdr + 6, c->start);
	le16_put(hdr + 8, c->offset);
	le16_put(hdr + 10, 7);
	net_fill(frame, sizeof(frame), _i);
	ck_assert_int_eq(net_send(&v, hdr, frame, sizeof(frame)), 0);
	if (c->lost) {
		ck_assert_int_eq(recv(peer, msg, sizeof(msg), MSG_DONTWAIT), -1);
		return;
	}
	ck_assert_int_eq(recv(peer, msg, sizeof(msg), 0), NET_HDR_LEN + sizeof(frame));
	ck_assert_mem_eq(msg, &c->seen, NET_HDR_LEN); /* little-endian, as this machine is */
	ck_assert_mem_eq(msg + NET_HDR_LEN, frame, sizeof(frame));
}
END_TEST

/* How long a frame is is known once it is there; the header's count is ours to give. */
START_TEST(buffers_left_over_are_used)
{
	unsigned i;

	start(NET_ALL);
	for (i = 0; i < 60; i++)
		net_give(&v, 1000);
	for (i = 0; i < 60; i++) {
		host_sends(60 + i, i);
		ck_assert_int_eq(net_take(&v, got, sizeof(got), NET_WAIT_MS), 60 + i);
		net_fill(wanted, 60 + i, i);
		ck_assert_mem_eq(got + NET_HDR_LEN, wanted, 60 + i);
		ck_assert_uint_eq(got[0], 0xa5);
		ck_assert_uint_eq(le16_get(got + 10), 1);
	}
}
END_TEST

/* Nobody waits for room: with what little there is the frame is lost, or comes. */
START_TEST(few_buffers)
{
	start(NET_ALL);
	net_give(&v, 200);
	host_sends(189, 1);
	testbed_settle(&tb);
	host_sends(188, 2);
	ck_assert_int_eq(net_take(&v, got, sizeof(got), NET_WAIT_MS), 188);
	host_sends(60, 3); /* for this one there is none at all yet */
	testbed_settle(&tb);
	net_give(&v, 200);
	ck_assert_int_eq(net_take(&v, got, sizeof(got), NET_WAIT_MS), 60);
}
END_TEST

Suite *net_tap_suite(void)
{
	Suite *s = suite_create("net_tap");
	TCase *tc = unit_case(s, "link");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, receives_frame_and_header);
	tcase_add_test(tc, frame_without_room_is_lost);
	tcase_add_test(tc, sends_frame_and_header);
	tcase_add_test(tc, frame_that_finds_no_room_is_lost);
	tcase_add_test(tc, interface_goes_away);
	tcase_add_loop_test(tc, names_that_no_interface_has, 0, 2);

	tc = unit_case(s, "device");
	tcase_add_checked_fixture(tc, set_up_device, tear_down_device);
	tcase_add_loop_test(tc, header_is_checked, 0, ARRAY_SIZE(headers));
	tcase_add_test(tc, buffers_left_over_are_used);
	tcase_add_test(tc, few_buffers);
	return s;
}

UNIT_MAIN(net_tap_suite)
