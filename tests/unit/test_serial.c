/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/serial_reg.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/testbed.h"
#include "vmm/core/state.h"

Suite *serial_suite(void);

#define COM1 0x3f8
#define COM2 0x2f8
#define COM1_GSI 4

/* The other end of the line. */
struct terminal {
	char out[256];
	size_t len;
	const struct console_user *user;
	void *dev;
	int mores;
};

static struct testbed tb;
static struct terminal term;

static void term_write(void *console, const void *data, size_t len)
{
	struct terminal *t = console;

	ck_assert_uint_le(t->len + len, sizeof(t->out));
	memcpy(t->out + t->len, data, len);
	t->len += len;
}

static void term_more(void *console)
{
	struct terminal *t = console;

	t->mores++;
}

static void term_attach(void *console, const struct console_user *user, void *dev)
{
	struct terminal *t = console;

	t->user = user;
	t->dev = dev;
}

static const struct console_ops term_ops = { .write = term_write, .more = term_more };

static uint8_t in(uint16_t port)
{
	uint8_t v;

	ck_assert(bus_read(&tb.pio, port, &v, 1));
	return v;
}

static void out(uint16_t port, uint8_t v)
{
	ck_assert(bus_write(&tb.pio, port, &v, 1));
}

static void set_up(void)
{
	testbed_init(&tb);
	term = (struct terminal){ 0 };
	tb.p.console_ops = &term_ops;
	tb.p.console = &term;
	tb.p.console_attach = term_attach;
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "serial,file=-"), 0);
}

static void tear_down(void)
{
	testbed_fini(&tb);
}

START_TEST(sends_to_the_terminal)
{
	const char *c;

	for (c = "hello"; *c; c++) {
		ck_assert_uint_eq(in(COM1 + UART_LSR) & UART_LSR_THRE, UART_LSR_THRE);
		out(COM1 + UART_TX, *c);
	}
	ck_assert_uint_eq(term.len, 5);
	ck_assert_mem_eq(term.out, "hello", 5);
	ck_assert_uint_eq(testbed_irqs(&tb, COM1_GSI), 0); /* nobody asked */
}
END_TEST

/* Linux reads LSR, sees a break, and takes what comes behind it. */
START_TEST(sysrq_by_a_break)
{
	ck_assert(!term.user->sysrq(term.dev, 'h')); /* nobody listens */
	out(COM1 + UART_IER, UART_IER_RDI | UART_IER_RLSI);
	ck_assert_uint_eq(term.user->input(term.dev, "a", 1), 1);
	ck_assert(term.user->sysrq(term.dev, 'h'));
	ck_assert_uint_eq(testbed_irqs(&tb, COM1_GSI), 1);
	ck_assert_uint_eq(in(COM1 + UART_IIR) & 0x0f, UART_IIR_RDI);
	ck_assert_uint_eq(in(COM1 + UART_LSR) & (UART_LSR_DR | UART_LSR_BI), UART_LSR_DR);
	ck_assert_uint_eq(in(COM1 + UART_RX), 'a');
	ck_assert_uint_eq(in(COM1 + UART_IIR) & 0x0f, UART_IIR_RLSI);
	ck_assert_uint_eq(in(COM1 + UART_LSR) & (UART_LSR_DR | UART_LSR_BI),
			  UART_LSR_DR | UART_LSR_BI);
	ck_assert_uint_eq(in(COM1 + UART_LSR) & UART_LSR_BI, 0); /* read, and gone */
	ck_assert_uint_eq(in(COM1 + UART_RX), 0);
	ck_assert_uint_eq(in(COM1 + UART_LSR) & (UART_LSR_DR | UART_LSR_BI), UART_LSR_DR);
	ck_assert_uint_eq(in(COM1 + UART_RX), 'h');
	ck_assert_uint_eq(in(COM1 + UART_LSR) & UART_LSR_DR, 0);
}
END_TEST

/* Both, or none: a key without its break would be typed. */
START_TEST(sysrq_without_room)
{
	out(COM1 + UART_IER, UART_IER_RDI);
	ck_assert_uint_eq(term.user->input(term.dev, "123456789012345", 15), 15);
	ck_assert(!term.user->sysrq(term.dev, 'h'));
	ck_assert_uint_eq(in(COM1 + UART_RX), '1');
	ck_assert(term.user->sysrq(term.dev, 'h'));
	out(COM1 + UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
	ck_assert_uint_eq(in(COM1 + UART_LSR) & (UART_LSR_DR | UART_LSR_BI), 0);
	ck_assert_uint_eq(term.user->input(term.dev, "x", 1), 1);
	ck_assert_uint_eq(in(COM1 + UART_LSR) & UART_LSR_BI, 0);
}
END_TEST

START_TEST(sends_to_a_file)
{
	char path[] = "/tmp/serial-XXXXXX", text[300], buf[8] = { 0 };
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	snprintf(text, sizeof(text), "serial,port=1,file=%s", path);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, text), 0);
	out(COM2 + UART_TX, 'a');
	out(COM2 + UART_TX, '\n');
	ck_assert_int_eq(read(fd, buf, sizeof(buf)), 2);
	ck_assert_mem_eq(buf, "a\n", 2);
	ck_assert_uint_eq(term.len, 0);
	close(fd);
	unlink(path);
}
END_TEST

static void nothing(int sig)
{
	(void)sig;
}

#define PIPE_SIZE 4096

static void *fill_pipe(void *arg)
{
	unsigned *sent = arg;

	for (*sent = 0; *sent < PIPE_SIZE + 100; ++*sent)
		out(COM2 + UART_TX, 'x');
	return NULL;
}

/* A vCPU that waits for a reader who does not read is stopped by a signal, as in vcpu_stop(). */
START_TEST(stalled_reader_does_not_hold_a_vcpu)
{
	char dir[] = "/tmp/serial-XXXXXX", path[64], text[128];
	struct sigaction sa = { .sa_handler = nothing };
	unsigned sent, tries;
	pthread_t vcpu;
	int fd;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/fifo", dir);
	snprintf(text, sizeof(text), "serial,port=1,file=%s", path);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	fd = open(path, O_RDONLY | O_NONBLOCK);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE), PIPE_SIZE);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, text), 0);
	sigaction(SIGUSR2, &sa, NULL);
	pthread_create(&vcpu, NULL, fill_pipe, &sent);
	for (tries = 0; pthread_tryjoin_np(vcpu, NULL); tries++) {
		ck_assert_uint_lt(tries, 20000);
		pthread_kill(vcpu, SIGUSR2);
		usleep(100);
	}
	ck_assert_uint_eq(sent, PIPE_SIZE + 100);
	close(fd);
	unlink(path);
	rmdir(dir);
}
END_TEST

START_TEST(transmitter_interrupt)
{
	/* Asking for it is answered at once: the transmitter is empty. */
	out(COM1 + UART_IER, UART_IER_THRI);
	ck_assert_uint_eq(testbed_irqs(&tb, COM1_GSI), 1);
	ck_assert_uint_eq(in(COM1 + UART_IIR), UART_IIR_THRI);
	/* Reading the reason clears it. */
	ck_assert_uint_eq(in(COM1 + UART_IIR), UART_IIR_NO_INT);
	ck_assert_uint_eq(testbed_irqs(&tb, COM1_GSI), 0);
	out(COM1 + UART_TX, 'x');
	ck_assert_uint_eq(testbed_irqs(&tb, COM1_GSI), 1);
	/* One edge, as long as the reason stands. */
	out(COM1 + UART_TX, 'y');
	ck_assert_uint_eq(testbed_irqs(&tb, COM1_GSI), 0);
	out(COM1 + UART_IER, 0);
	ck_assert_uint_eq(in(COM1 + UART_IIR), UART_IIR_NO_INT);
}
END_TEST

START_TEST(input_waits_until_the_port_is_open)
{
	ck_assert_uint_eq(term.user->input(term.dev, "ab", 2), 0);
	out(COM1 + UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
	ck_assert_int_eq(term.mores, 0);
	out(COM1 + UART_IER, UART_IER_RDI);
	ck_assert_int_eq(term.mores, 1);
	ck_assert_uint_eq(term.user->input(term.dev, "ab", 2), 2);
	ck_assert_uint_eq(testbed_irqs(&tb, COM1_GSI), 1);
	ck_assert_uint_eq(in(COM1 + UART_IIR), UART_IIR_RDI | 0xc0);
	ck_assert_uint_eq(in(COM1 + UART_LSR) & UART_LSR_DR, UART_LSR_DR);
	ck_assert_uint_eq(in(COM1 + UART_RX), 'a');
	ck_assert_uint_eq(in(COM1 + UART_RX), 'b');
	ck_assert_uint_eq(in(COM1 + UART_LSR) & UART_LSR_DR, 0);
	ck_assert_uint_eq(in(COM1 + UART_IIR), UART_IIR_NO_INT | 0xc0);
}
END_TEST

START_TEST(input_is_taken_as_there_is_room)
{
	const char *text = "0123456789abcdefXYZ";
	unsigned i;

	out(COM1 + UART_IER, UART_IER_RDI);
	term.mores = 0;
	ck_assert_uint_eq(term.user->input(term.dev, text, 19), 16);
	ck_assert_uint_eq(term.user->input(term.dev, text + 16, 3), 0);
	for (i = 0; i < 16; i++) {
		ck_assert_int_eq(term.mores, 0);
		ck_assert_uint_eq(in(COM1 + UART_RX), text[i]);
	}
	ck_assert_int_eq(term.mores, 1);
	ck_assert_uint_eq(term.user->input(term.dev, text + 16, 3), 3);
	ck_assert_uint_eq(in(COM1 + UART_RX), 'X');
}
END_TEST

/* How Linux tells a UART from an empty port, and finds its kind. */
START_TEST(looks_like_a_16550)
{
	out(COM1 + UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS);
	ck_assert_uint_eq(in(COM1 + UART_MSR) & 0xf0, UART_MSR_DCD | UART_MSR_CTS);
	out(COM1 + UART_TX, 'z');
	ck_assert_uint_eq(term.len, 0);
	ck_assert_uint_eq(in(COM1 + UART_RX), 'z');
	out(COM1 + UART_MCR, 0);
	ck_assert_uint_eq(in(COM1 + UART_MSR), UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS);

	out(COM1 + UART_SCR, 0x5a);
	ck_assert_uint_eq(in(COM1 + UART_SCR), 0x5a);
	out(COM1 + UART_IER, 0xff);
	ck_assert_uint_eq(in(COM1 + UART_IER), 0x0f);
	out(COM1 + UART_LCR, UART_LCR_DLAB);
	out(COM1 + UART_DLL, 0x34);
	out(COM1 + UART_DLM, 0x12);
	ck_assert_uint_eq(in(COM1 + UART_DLL), 0x34);
	ck_assert_uint_eq(in(COM1 + UART_DLM), 0x12);
	out(COM1 + UART_LCR, UART_LCR_WLEN8);
	ck_assert_uint_eq(in(COM1 + UART_IER), 0x0f);
	ck_assert_uint_eq(in(COM1 + UART_LCR), UART_LCR_WLEN8);
	out(COM1 + UART_FCR, UART_FCR_ENABLE_FIFO);
	ck_assert_uint_eq(in(COM1 + UART_IIR) & 0xc0, 0xc0);
}
END_TEST

/* Registers, input that the guest has not read, and an interrupt that it has not heard of. */
START_TEST(saved)
{
	out(COM1 + UART_LCR, 0x83);
	out(COM1 + UART_DLL, 12);
	out(COM1 + UART_LCR, 0x03);
	out(COM1 + UART_SCR, 0x5a);
	out(COM1 + UART_FCR, UART_FCR_ENABLE_FIFO);
	out(COM1 + UART_IER, UART_IER_RDI);
	ck_assert_uint_eq(term.user->input(term.dev, "abc", 3), 3);
	ck_assert_uint_eq(in(COM1), 'a');
	testbed_reborn(&tb, tear_down, set_up);
	ck_assert_uint_eq(in(COM1 + UART_SCR), 0x5a);
	ck_assert_uint_eq(in(COM1 + UART_IIR), 0xc0 | UART_IIR_RDI);
	ck_assert_uint_eq(in(COM1), 'b');
	testbed_reborn(&tb, tear_down, set_up);
	ck_assert_uint_eq(in(COM1), 'c');
	ck_assert_uint_eq(in(COM1 + UART_IIR), 0xc0 | UART_IIR_NO_INT);
	ck_assert_uint_eq(term.user->input(term.dev, "d", 1), 1);
	ck_assert_uint_eq(testbed_irqs(&tb, COM1_GSI), 1);
	out(COM1 + UART_LCR, 0x83);
	ck_assert_uint_eq(in(COM1 + UART_DLL), 12);
}
END_TEST

/* The device's name, 16; nine registers and bits; the FIFO, where it begins, how full it is. */
START_TEST(bad_state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} bad[] = { { 0, 'x' }, { 16, 0x10 }, { 17, 1 }, { 19, 0x20 }, { 23, 2 }, { 41, 16 },
		    { 42, 17 } };
	uint8_t *data;
	size_t len;

	out(COM1 + UART_SCR, 0x5a);
	ck_assert_int_eq(state_save(device_state_all, &tb.devices, &data, &len), 0);
	ck_assert_uint_eq(len, 45);
	out(COM1 + UART_SCR, 0xa5);
	data[bad[_i].at] = bad[_i].value;
	ck_assert_int_eq(state_restore(device_state_all, &tb.devices, data, len), -EINVAL);
	ck_assert_uint_eq(in(COM1 + UART_SCR), 0xa5);
	free(data);
}
END_TEST

START_TEST(wide_accesses_do_nothing)
{
	uint32_t v = 0x41414141;

	bus_write(&tb.pio, COM1, &v, 4);
	ck_assert_uint_eq(term.len, 0);
	bus_read(&tb.pio, COM1, &v, 4);
	ck_assert_uint_eq(v, 0xffffffff);
}
END_TEST

START_TEST(a_port_is_there_once)
{
	ck_assert_int_lt(device_create(&tb.p, &tb.devices, "serial"), 0);
	ck_assert_int_lt(device_create(&tb.p, &tb.devices, "serial,port=2"), 0);
	ck_assert_int_lt(device_create(&tb.p, &tb.devices, "serial,port=1,file=/none/such"), 0);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "serial,port=1"), 0);
	out(COM2 + UART_TX, 'x'); /* into nowhere */
	ck_assert_uint_eq(term.len, 0);
}
END_TEST

Suite *serial_suite(void)
{
	Suite *s = suite_create("serial");
	TCase *tc = unit_case(s, "serial");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, sends_to_the_terminal);
	tcase_add_test(tc, sysrq_by_a_break);
	tcase_add_test(tc, sysrq_without_room);
	tcase_add_test(tc, sends_to_a_file);
	tcase_add_test(tc, stalled_reader_does_not_hold_a_vcpu);
	tcase_add_test(tc, transmitter_interrupt);
	tcase_add_test(tc, input_waits_until_the_port_is_open);
	tcase_add_test(tc, input_is_taken_as_there_is_room);
	tcase_add_test(tc, looks_like_a_16550);
	tcase_add_test(tc, wide_accesses_do_nothing);
	tcase_add_test(tc, saved);
	tcase_add_loop_test(tc, bad_state, 0, 7);
	tcase_add_test(tc, a_port_is_there_once);
	return s;
}

UNIT_MAIN(serial_suite)
