/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>

#include "tests/lib/testbed.h"
#include "vmm/core/irq.h"

Suite *irq_suite(void);

START_TEST(raise_counts)
{
	static struct testbed tb;
	struct irq irq;

	testbed_init(&tb);
	ck_assert_int_eq(irq_init(&irq, 9, tb.p.irqchip, tb.p.chip), 0);
	ck_assert_uint_eq(irq.gsi, 9);
	ck_assert_uint_eq(testbed_irqs(&tb, 9), 0);
	irq_raise(&irq);
	irq_raise(&irq);
	ck_assert_uint_eq(testbed_irqs(&tb, 9), 2);
	ck_assert_uint_eq(testbed_irqs(&tb, 9), 0);
	irq_fini(&irq, tb.p.irqchip, tb.p.chip);
	ck_assert_int_eq(testbed_irq_fd(&tb, 9), -1);
	testbed_fini(&tb);
}
END_TEST

START_TEST(raise_never_waits)
{
	static struct testbed tb;
	struct irq irq;

	testbed_init(&tb);
	ck_assert_int_eq(irq_init(&irq, 9, tb.p.irqchip, tb.p.chip), 0);
	ck_assert_int_eq(eventfd_write(irq.fd, UINT64_MAX - 1), 0);
	irq_raise(&irq); /* the count is full */
	ck_assert_uint_eq(testbed_irqs(&tb, 9), UINT64_MAX - 1);
	irq_fini(&irq, tb.p.irqchip, tb.p.chip);
	testbed_fini(&tb);
}
END_TEST

START_TEST(pending_until_bound)
{
	static struct testbed tb;
	struct irq irq;

	testbed_init(&tb);
	ck_assert_int_eq(irq_open(&irq, 9), 0);
	ck_assert(!irq_pending(&irq));
	irq_raise(&irq);
	ck_assert(irq_pending(&irq));
	ck_assert(irq_pending(&irq)); /* looking changes nothing */
	ck_assert_uint_eq(testbed_irqs(&tb, 9), 0);
	ck_assert_int_eq(tb.p.irqchip->bind(tb.p.chip, &irq), 0);
	ck_assert_uint_eq(testbed_irqs(&tb, 9), 1);
	tb.p.irqchip->unbind(tb.p.chip, &irq);
	ck_assert(!irq_pending(&irq));
	irq_close(&irq);
	testbed_fini(&tb);
}
END_TEST

static int bind(void *chip, const struct irq *irq)
{
	(void)chip, (void)irq;
	return 0;
}

static void pulse(void *chip, uint32_t gsi)
{
	*(uint32_t *)chip += gsi;
}

/* A chip that has to be asked for each edge: what is written to the eventfd does nothing there. */
START_TEST(pulses)
{
	static const struct irqchip_ops ops = { .bind = bind, .pulse = pulse };
	uint32_t sum = 0;
	struct irq irq;

	ck_assert_int_eq(irq_init(&irq, 5, &ops, &sum), 0);
	irq_raise(&irq);
	irq_raise(&irq);
	ck_assert_uint_eq(sum, 10);
	ck_assert(!irq_pending(&irq));
	irq_close(&irq);
}
END_TEST

static int refuse(void *chip, const struct irq *irq)
{
	*(int *)chip = irq->fd;
	return -ENODEV;
}

START_TEST(nothing_is_left_when_refused)
{
	static const struct irqchip_ops ops = { .bind = refuse };
	struct irq irq;
	int fd = -1;

	ck_assert_int_eq(irq_init(&irq, 5, &ops, &fd), -ENODEV);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
}
END_TEST

Suite *irq_suite(void)
{
	Suite *s = suite_create("irq");
	TCase *tc = unit_case(s, "irq");

	tcase_add_test(tc, raise_counts);
	tcase_add_test(tc, raise_never_waits);
	tcase_add_test(tc, pending_until_bound);
	tcase_add_test(tc, pulses);
	tcase_add_test(tc, nothing_is_left_when_refused);
	return s;
}

UNIT_MAIN(irq_suite)
