/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/net_driver.h"
#include "vmm/core/util.h"

Suite *net_host_suite(void);

static enum virtio_transport transport;
static struct testbed tb;
static struct vdriver v;
static int peer;
static uint8_t got[NET_HDR_LEN + NET_FRAME_MAX], wanted[NET_FRAME_MAX + 1];

static void start(uint64_t features)
{
	vdriver_fini(&v);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, features, NET_QUEUES, 64));
}

static void set_up(void)
{
	char text[64];
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	peer = pair[0];
	snprintf(text, sizeof(text), "virtio-net,fd=%d,transport=%s", pair[1],
		 virtio_transport_words[transport]);
	testbed_init(&tb);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, text), 0);
	close(pair[1]);
	testbed_start(&tb);
	start(NET_ALL);
}

static void set_up_pci(void)
{
	transport = VIRTIO_ON_PCI;
	set_up();
}

static void set_up_mmio(void)
{
	transport = VIRTIO_ON_MMIO;
	set_up();
}

static void tear_down(void)
{
	vdriver_fini(&v);
	testbed_fini(&tb);
	if (peer >= 0)
		close(peer);
}

static void peer_sends(size_t len, uint32_t seed)
{
	net_fill(wanted, len, seed);
	ck_assert(net_peer_sends(peer, wanted, len));
}

static void guest_gets(size_t len, uint32_t seed)
{
	net_fill(wanted, len, seed);
	ck_assert_int_eq(net_take(&v, got, sizeof(got), NET_WAIT_MS), len);
	ck_assert_mem_eq(got + NET_HDR_LEN, wanted, len);
}

static void nothing_comes(void)
{
	testbed_settle(&tb);
	ck_assert_int_eq(net_take(&v, got, sizeof(got), 0), -ETIMEDOUT);
}

static void guest_sends(size_t len, uint32_t seed)
{
	net_fill(wanted, len, seed);
	ck_assert_int_eq(net_send(&v, NULL, wanted, len), 0);
}

static void peer_gets(size_t len, uint32_t seed)
{
	net_fill(wanted, len, seed);
	ck_assert(net_peer_gets(peer, wanted, len));
}

START_TEST(receives)
{
	static const uint8_t header[NET_HDR_LEN] = { [10] = 1 };

	net_give(&v, 1526);
	net_give(&v, 1526);
	peer_sends(60, 1);
	guest_gets(60, 1);
	ck_assert_mem_eq(got, header, sizeof(header));
	peer_sends(1514, 2);
	guest_gets(1514, 2);
}
END_TEST

START_TEST(large_frame_takes_several_buffers)
{
	unsigned i;

	for (i = 0; i < 60; i++)
		net_give(&v, i ? 1536 : 5); /* the header, too, lies in two */
	peer_sends(60000, 3);
	guest_gets(60000, 3);
	ck_assert_uint_eq(le16_get(got + 10), 2 + (60000 + 12 - 5 - 1) / 1536);
	peer_sends(100, 4);
	guest_gets(100, 4);
	ck_assert_uint_eq(le16_get(got + 10), 1);
}
END_TEST

START_TEST(frame_waits_for_buffers)
{
	peer_sends(4000, 5);
	net_give(&v, 1536);
	net_give(&v, 1536);
	nothing_comes();
	net_give(&v, 1536);
	guest_gets(4000, 5);
	nothing_comes();
}
END_TEST

START_TEST(buffer_for_one_frame_alone)
{
	start(NET_UNMERGED);
	net_give(&v, 1526);
	net_give(&v, 1526);
	peer_sends(1515, 6); /* is lost */
	peer_sends(1514, 7);
	guest_gets(1514, 7);
	ck_assert_uint_eq(le16_get(got + 10), 1);
	peer_sends(60, 8);
	guest_gets(60, 8);
}
END_TEST

/* All that the ring holds is too little, and there will never be more. */
START_TEST(buffers_of_a_full_ring_are_too_small)
{
	unsigned i;

	for (i = 0; i < 64; i++)
		net_give(&v, i % 3 ? 100 : 1);
	peer_sends(5000, 9);
	peer_sends(500, 10);
	guest_gets(500, 10);
}
END_TEST

START_TEST(buffers_without_room)
{
	struct vdriver_queue *vq = &v.queue[NET_RX];
	struct driver_buf out = { .gpa = vq->arena, .len = 100 };

	start(_i ? NET_ALL : NET_UNMERGED);
	ck_assert_int_ge(driver_add(&vq->ring, &out, 1, 0), 0); /* for the device to read */
	vdriver_kick(&v, NET_RX);
	peer_sends(60, 11);
	testbed_settle(&tb);
	ck_assert_uint_eq(vdriver_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
	start(NET_ALL);
	net_give(&v, 1526);
	peer_sends(61, 12);
	if (_i) /* the first one has waited for a buffer */
		guest_gets(60, 11);
	net_give(&v, 1526);
	guest_gets(61, 12);
}
END_TEST

START_TEST(sends)
{
	guest_sends(60, 1);
	peer_gets(60, 1);
	guest_sends(NET_FRAME_MAX, 2);
	peer_gets(NET_FRAME_MAX, 2);
}
END_TEST

START_TEST(sends_from_pieces)
{
	unsigned i;

	v.shatter = 4711;
	for (i = 0; i < 300; i++) {
		guest_sends(14 + i * 50, i);
		peer_gets(14 + i * 50, i);
	}
}
END_TEST

static const struct nonsense {
	uint8_t flags, type;
	size_t len;
} nonsense[] = {
	{ 0, 0, 0 }, { 0, 0, NET_ETH_LEN - 1 }, { 0, 0, NET_FRAME_MAX + 1 },
	{ VIRTIO_NET_HDR_F_NEEDS_CSUM, 0, 60 },
	{ 0, VIRTIO_NET_HDR_GSO_TCPV4, 60 },
	{ VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV4, 60 },
	{ 0, 0x7f, 60 },
};

/* What is no frame is lost, and the next one is not. */
START_TEST(sends_nonsense)
{
	const struct nonsense *bad = &nonsense[_i];
	uint8_t hdr[NET_HDR_LEN] = { bad->flags, bad->type, [4] = 100 };
	struct iovec out = { hdr, NET_HDR_LEN - 1 }, in = { hdr, sizeof(hdr) };

	ck_assert_int_eq(net_send(&v, hdr, wanted, bad->len), 0);
	ck_assert_int_eq(vdriver_request(&v, NET_TX, &out, 1, NULL, 0, NET_WAIT_MS), 0);
	ck_assert_int_eq(vdriver_request(&v, NET_TX, NULL, 0, &in, 1, NET_WAIT_MS), 0);
	guest_sends(60, 5);
	peer_gets(60, 5);
}
END_TEST

/* The queue stands still, without losing anything, while nobody reads. */
START_TEST(slow_reader_stops_the_queue)
{
	struct vdriver_queue *vq = &v.queue[NET_TX];
	struct driver_buf buf = { .gpa = vq->arena, .len = NET_HDR_LEN + 60000 };
	unsigned sent, i;
	uint16_t head;
	uint32_t len;

	net_fill(wanted, 60000, 3);
	ck_assert_int_eq(mem_write(&tb.mem, vq->arena + NET_HDR_LEN, wanted, 60000), 0);
	for (sent = 0; sent < 64; sent++)
		ck_assert_int_ge(driver_add(&vq->ring, &buf, 1, 0), 0);
	vdriver_kick(&v, NET_TX);
	testbed_settle(&tb);
	for (i = 0; driver_used(&vq->ring, &head, &len); i++)
		;
	ck_assert_uint_gt(i, 0);
	ck_assert_uint_lt(i, 64);
	while (sent--)
		peer_gets(60000, 3);
	for (; i < 64; i++)
		ck_assert_int_eq(vdriver_wait_used(&v, NET_TX, &head, &len, NET_WAIT_MS), 0);
}
END_TEST

/* A reset comes while half of a frame is in the driver's buffers. */
START_TEST(reset_within_a_frame)
{
	uint8_t raw[4 + 1000] = { 0, 0, 1000 >> 8, 1000 & 255 };

	net_give(&v, 1526);
	ck_assert_int_eq(send(peer, raw, 500, 0), 500);
	testbed_settle(&tb);
	start(NET_ALL);
	net_give(&v, 1526);
	ck_assert_int_eq(send(peer, raw + 500, sizeof(raw) - 500, 0), sizeof(raw) - 500);
	peer_sends(60, 13);
	guest_gets(60, 13);
}
END_TEST

static uint16_t link_status(void)
{
	uint8_t status[2];

	vdriver_config_read(&v, offsetof(struct virtio_net_config, status), status, 2);
	return le16_get(status);
}

START_TEST(other_side_ends)
{
	unsigned events = 0;

	ck_assert_uint_eq(link_status(), VIRTIO_NET_S_LINK_UP);
	net_give(&v, 1526);
	testbed_settle(&tb);
	vdriver_wait(&v, 0);
	close(peer);
	peer = -1;
	while (!(events & VDRIVER_INT_CONFIG)) {
		events = vdriver_wait(&v, NET_WAIT_MS);
		ck_assert_uint_ne(events, 0);
	}
	ck_assert_uint_eq(link_status(), 0);
	guest_sends(60, 1); /* to nobody */
	start(NET_ALL);
	ck_assert_uint_eq(link_status(), 0);
	net_give(&v, 1526);
	guest_sends(60, 1);
}
END_TEST

/* The driver has given no buffer, and hears of it when it sends. */
START_TEST(other_side_ends_unseen)
{
	close(peer);
	peer = -1;
	guest_sends(60, 1);
	ck_assert_uint_eq(link_status(), 0);
}
END_TEST

START_TEST(bad_ring_needs_a_reset)
{
	struct vdriver_queue *vq = &v.queue[_i];
	struct driver_buf buf = { .gpa = 1ull << 50, .len = 100, .write = _i == NET_RX };

	ck_assert_int_ge(driver_add(&vq->ring, &buf, 1, 0), 0);
	vdriver_kick(&v, _i);
	peer_sends(60, 1);
	testbed_settle(&tb);
	ck_assert_uint_ne(vdriver_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
	testbed_settle(&tb);
	start(NET_ALL);
	net_give(&v, 1526);
	guest_gets(60, 1);
	guest_sends(60, 2);
	peer_gets(60, 2);
}
END_TEST

START_TEST(both_ways_at_length)
{
	uint32_t seed = 99;
	unsigned i, n;

	for (n = 0; n < 48; n++)
		net_give(&v, 2048);
	for (i = 0; i < 2000; i++) {
		size_t in = 14 + driver_random(&seed) % 30000;
		size_t out = 14 + driver_random(&seed) % 30000;

		peer_sends(in, i);
		guest_sends(out, i + 1);
		guest_gets(in, i);
		for (n = le16_get(got + 10); n; n--)
			net_give(&v, 2048);
		peer_gets(out, i + 1);
	}
}
END_TEST

static void add_tests(TCase *tc, SFun set_up_on)
{
	tcase_add_checked_fixture(tc, set_up_on, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, receives);
	tcase_add_test(tc, large_frame_takes_several_buffers);
	tcase_add_test(tc, frame_waits_for_buffers);
	tcase_add_test(tc, buffer_for_one_frame_alone);
	tcase_add_test(tc, buffers_of_a_full_ring_are_too_small);
	tcase_add_loop_test(tc, buffers_without_room, 0, 2);
	tcase_add_test(tc, sends);
	tcase_add_test(tc, sends_from_pieces);
	tcase_add_loop_test(tc, sends_nonsense, 0, ARRAY_SIZE(nonsense));
	tcase_add_test(tc, slow_reader_stops_the_queue);
	tcase_add_test(tc, reset_within_a_frame);
	tcase_add_test(tc, other_side_ends);
	tcase_add_test(tc, other_side_ends_unseen);
	tcase_add_loop_test(tc, bad_ring_needs_a_reset, 0, 2);
	tcase_add_test(tc, both_ways_at_length);
}

Suite *net_host_suite(void)
{
	Suite *s = suite_create("net_host");

	add_tests(unit_case(s, "pci"), set_up_pci);
	add_tests(unit_case(s, "mmio"), set_up_mmio);
	return s;
}

UNIT_MAIN(net_host_suite)
