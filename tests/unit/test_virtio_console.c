/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/console_driver.h"
#include "vmm/core/util.h"

Suite *virtio_console_suite(void);

static enum virtio_transport transport;
static struct console_terminal term;
static struct testbed tb;
static struct vdriver v;

static void set_up(void)
{
	testbed_init(&tb);
	console_terminal_init(&term, &tb);
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
	console_terminal_fini(&term);
}

/* A console, with a port named "one" if @port, started with all features. */
static void make(const char *options, bool port)
{
	char text[128];

	snprintf(text, sizeof(text), "virtio-console,transport=%s%s",
		 virtio_transport_words[transport], options);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, text), 0);
	if (port)
		ck_assert_int_eq(device_create(&tb.p, &tb.devices, "console-port,name=one"), 0);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
}

static uint64_t config(unsigned off, unsigned len)
{
	uint8_t raw[8] = { 0 };

	vdriver_config_read(&v, off, raw, len);
	return le64_get(raw);
}

START_TEST(what_a_driver_finds)
{
	make("", false);
	ck_assert_uint_eq(v.device_id, VIRTIO_ID_CONSOLE);
	ck_assert_uint_eq(v.offered & 0xff, 1 << VIRTIO_CONSOLE_F_SIZE);
	ck_assert_uint_eq(config(0, 2), 80);
	ck_assert_uint_eq(config(2, 2), 25);
	ck_assert_uint_eq(config(4, 4), 1);
	ck_assert(vdriver_queue_max(&v, 1));
	ck_assert_uint_eq(vdriver_queue_max(&v, 2), 0);
}
END_TEST

START_TEST(what_a_driver_finds_with_ports)
{
	make("", true);
	ck_assert_uint_eq(v.offered & 0xff,
			  1 << VIRTIO_CONSOLE_F_SIZE | 1 << VIRTIO_CONSOLE_F_MULTIPORT);
	ck_assert_uint_eq(config(4, 4), 2);
	ck_assert(vdriver_queue_max(&v, CONSOLE_TX(1)));
	ck_assert_uint_eq(vdriver_queue_max(&v, CONSOLE_TX(1) + 1), 0);
}
END_TEST

START_TEST(output_comes_to_the_terminal)
{
	struct iovec out[] = { { (char[]){ "hello, " }, 7 }, { (char[]){ "world\n" }, 6 } };

	make("", false);
	ck_assert(vdriver_start(&v, ~0ull, 2, 32));
	ck_assert_int_eq(vdriver_request(&v, 1, out, 2, NULL, 0, CONSOLE_WAIT_MS), 0);
	ck_assert_int_eq(vdriver_request(&v, 1, out, 1, NULL, 0, CONSOLE_WAIT_MS), 0);
	ck_assert(console_terminal_shows(&term, "hello, world\nhello, ", 20));
}
END_TEST

START_TEST(output_however_it_is_cut)
{
	char text[200], all[4000];
	unsigned i;

	make("", false);
	ck_assert(vdriver_start(&v, ~0ull, 2, 32));
	v.shatter = 815;
	for (i = 0; i < 20; i++) {
		struct iovec out = { text, sizeof(text) };

		memset(text, 'a' + i, sizeof(text));
		memcpy(all + i * sizeof(text), text, sizeof(text));
		ck_assert_int_eq(vdriver_request(&v, 1, &out, 1, NULL, 0, CONSOLE_WAIT_MS), 0);
	}
	ck_assert(console_terminal_shows(&term, all, sizeof(all)));
}
END_TEST

START_TEST(input_waits_for_the_driver)
{
	char got[64];

	make("", false);
	ck_assert_uint_eq(term.user->input(term.dev, "early ", 6), 6);
	ck_assert(vdriver_start(&v, ~0ull, 2, 32));
	ck_assert_uint_eq(term.user->input(term.dev, "bird", 4), 4);
	ck_assert_int_eq(atomic_load(&term.mores), 0);
	console_give(&v, 0, 4);
	ck_assert_int_eq(console_take(&v, 0, got, sizeof(got), CONSOLE_WAIT_MS), 4);
	ck_assert_mem_eq(got, "earl", 4);
	console_give(&v, 0, 64);
	ck_assert_int_eq(console_take(&v, 0, got, sizeof(got), CONSOLE_WAIT_MS), 6);
	ck_assert_mem_eq(got, "y bird", 6);
	ck_assert_int_eq(atomic_load(&term.mores), 2);
}
END_TEST

/* Linux looks at one buffer per interrupt: there must not be two that it has not taken. */
START_TEST(input_comes_one_by_one)
{
	char got[64];

	make("", false);
	ck_assert(vdriver_start(&v, ~0ull, 2, 32));
	console_give(&v, 0, 64);
	console_give(&v, 0, 64);
	ck_assert_uint_eq(term.user->input(term.dev, "a", 1), 1);
	ck_assert_int_eq(console_take(&v, 0, got, sizeof(got), CONSOLE_WAIT_MS), 1);
	ck_assert_uint_eq(term.user->input(term.dev, "b", 1), 1);
	ck_assert_int_eq(console_take(&v, 0, got, sizeof(got), 50), -ETIMEDOUT);
	console_give(&v, 0, 64);
	ck_assert_int_eq(console_take(&v, 0, got, sizeof(got), CONSOLE_WAIT_MS), 1);
	ck_assert_int_eq(got[0], 'b');
}
END_TEST

/* As Linux's hvc console has it: ^O, and the key. */
START_TEST(sysrq)
{
	uint8_t got[64];

	make("", false);
	ck_assert(vdriver_start(&v, ~0ull, 2, 32));
	console_give(&v, 0, 64);
	ck_assert(term.user->sysrq(term.dev, 'h'));
	ck_assert_int_eq(console_take(&v, 0, got, sizeof(got), CONSOLE_WAIT_MS), 2);
	ck_assert_mem_eq(got, "\x0fh", 2);
}
END_TEST

/* Nobody reads: what is taken from the terminal has an end. */
START_TEST(input_is_bounded)
{
	static const char keys[4096];
	size_t took = 0, n;

	make("", false);
	ck_assert(vdriver_start(&v, ~0ull, 2, 32));
	while ((n = term.user->input(term.dev, keys, sizeof(keys))) > 0)
		took += n;
	ck_assert_uint_ge(took, 4096);
	ck_assert_uint_le(took, 1 << 20);
}
END_TEST

START_TEST(size_follows_the_terminal)
{
	make("", false);
	ck_assert(vdriver_start(&v, ~0ull, 2, 32));
	vdriver_irqs(&v);
	term.user->resized(term.dev, 132, 43);
	ck_assert_uint_eq(vdriver_wait(&v, CONSOLE_WAIT_MS) & VDRIVER_INT_CONFIG,
			  VDRIVER_INT_CONFIG);
	ck_assert_uint_eq(config(0, 2), 132);
	ck_assert_uint_eq(config(2, 2), 43);
}
END_TEST

static void hear(uint32_t id, uint16_t event, uint16_t value)
{
	struct console_msg msg;

	ck_assert(console_hear(&v, &msg, CONSOLE_WAIT_MS));
	ck_assert_uint_eq(msg.id, id);
	ck_assert_uint_eq(msg.event, event);
	ck_assert_uint_eq(msg.value, value);
	ck_assert_uint_eq(msg.len, event == VIRTIO_CONSOLE_PORT_NAME ? 3 :
				   event == VIRTIO_CONSOLE_RESIZE ? 4 : 0);
	if (event == VIRTIO_CONSOLE_PORT_NAME)
		ck_assert_mem_eq(msg.text, "one", 3);
	if (event == VIRTIO_CONSOLE_RESIZE) {
		ck_assert_uint_eq(le16_get(msg.text), term.len ? 132 : 80);
		ck_assert_uint_eq(le16_get(msg.text + 2), term.len ? 43 : 25);
	}
}

static void hear_nothing(void)
{
	struct console_msg msg;

	ck_assert(!console_hear(&v, &msg, 50));
}

START_TEST(ports_are_announced)
{
	make("", true);
	ck_assert(vdriver_start(&v, ~0ull, 6, 32));
	hear_nothing();
	ck_assert(console_tell(&v, VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1));
	hear(0, VIRTIO_CONSOLE_PORT_ADD, 0);
	hear(1, VIRTIO_CONSOLE_PORT_ADD, 0);
	ck_assert(console_tell(&v, 1, VIRTIO_CONSOLE_PORT_READY, 1));
	hear(1, VIRTIO_CONSOLE_PORT_OPEN, 1); /* before a user can find it */
	hear(1, VIRTIO_CONSOLE_PORT_NAME, 0);
	ck_assert(console_tell(&v, 0, VIRTIO_CONSOLE_PORT_READY, 1));
	hear(0, VIRTIO_CONSOLE_CONSOLE_PORT, 1);
	hear(0, VIRTIO_CONSOLE_PORT_OPEN, 1);
	hear(0, VIRTIO_CONSOLE_RESIZE, 0);
	/* A port that is there must not be added again. */
	ck_assert(console_tell(&v, VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1));
	hear_nothing();
	/* From the beginning, after a reset. */
	vdriver_fini(&v);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, 6, 32));
	ck_assert(console_open(&v, 0, 2));
}
END_TEST

START_TEST(size_comes_as_a_message_too)
{
	struct iovec out = { (char[]){ "x" }, 1 };

	make("", true);
	ck_assert(vdriver_start(&v, ~0ull, 6, 32));
	term.user->resized(term.dev, 100, 30);
	hear_nothing(); /* the driver has no port yet */
	term.user->resized(term.dev, 80, 25);
	ck_assert(console_open(&v, 0, 2));
	ck_assert_int_eq(vdriver_request(&v, 1, &out, 1, NULL, 0, CONSOLE_WAIT_MS), 0);
	term.user->resized(term.dev, 132, 43);
	hear(0, VIRTIO_CONSOLE_RESIZE, 0);
	hear_nothing();
}
END_TEST

START_TEST(without_the_terminal_there_is_no_port_0)
{
	make(",terminal=off", true);
	ck_assert_ptr_null(term.user);
	ck_assert(vdriver_start(&v, ~0ull, 6, 32));
	ck_assert(console_open(&v, 1, 2));
	hear_nothing();
	ck_assert(console_tell(&v, 0, VIRTIO_CONSOLE_PORT_READY, 1));
	hear_nothing();
}
END_TEST

START_TEST(driver_without_multiport)
{
	struct iovec out = { (char[]){ "plain" }, 5 };
	char got[8];

	make("", true);
	ck_assert(vdriver_start(&v, ~(1ull << VIRTIO_CONSOLE_F_MULTIPORT), 6, 32));
	ck_assert_int_eq(vdriver_request(&v, 1, &out, 1, NULL, 0, CONSOLE_WAIT_MS), 0);
	ck_assert(console_terminal_shows(&term, "plain", 5));
	ck_assert_uint_eq(term.user->input(term.dev, "key", 3), 3);
	console_give(&v, 0, 8);
	ck_assert_int_eq(console_take(&v, 0, got, sizeof(got), CONSOLE_WAIT_MS), 3);
	ck_assert(console_tell(&v, 0, VIRTIO_CONSOLE_DEVICE_READY, 1));
	hear_nothing();
}
END_TEST

static void add_tests(TCase *tc, SFun set_up_on)
{
	tcase_add_checked_fixture(tc, set_up_on, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, what_a_driver_finds);
	tcase_add_test(tc, what_a_driver_finds_with_ports);
	tcase_add_test(tc, output_comes_to_the_terminal);
	tcase_add_test(tc, output_however_it_is_cut);
	tcase_add_test(tc, input_waits_for_the_driver);
	tcase_add_test(tc, input_comes_one_by_one);
	tcase_add_test(tc, sysrq);
	tcase_add_test(tc, input_is_bounded);
	tcase_add_test(tc, size_follows_the_terminal);
	tcase_add_test(tc, ports_are_announced);
	tcase_add_test(tc, size_comes_as_a_message_too);
	tcase_add_test(tc, without_the_terminal_there_is_no_port_0);
	tcase_add_test(tc, driver_without_multiport);
}

Suite *virtio_console_suite(void)
{
	Suite *s = suite_create("virtio_console");

	add_tests(unit_case(s, "pci"), set_up_pci);
	add_tests(unit_case(s, "mmio"), set_up_mmio);
	return s;
}

UNIT_MAIN(virtio_console_suite)
