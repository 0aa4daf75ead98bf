/* SPDX-License-Identifier: MIT */
/*
 * echo_rig.h - the fixture of suites about transports: a machine without KVM that runs, an echo
 * device, and its driver, which has found it.
 */
#ifndef TESTS_ECHO_RIG_H
#define TESTS_ECHO_RIG_H

#include "tests/lib/echo.h"
#include "tests/lib/vdriver.h"
#include "tests/unit/unit.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

static struct testbed tb;
static struct echo echo;
static struct vdriver v;

static inline void echo_set_up(enum virtio_transport transport)
{
	log_set_level(LOG_ERR);
	testbed_init(&tb);
	echo_init(&echo, &tb, "e0", transport);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
}

static inline void echo_set_up_pci(void)
{
	echo_set_up(VIRTIO_ON_PCI);
}

static inline void echo_set_up_mmio(void)
{
	echo_set_up(VIRTIO_ON_MMIO);
}

/* A step of the driver's: the device is another one each time. */
static inline void echo_step(void *arg)
{
	echo_rebirth(arg);
}

static inline void echo_set_up_pci_reborn(void)
{
	echo_set_up_pci();
	tb.step = echo_step;
	tb.step_arg = &echo;
}

static inline void echo_set_up_mmio_reborn(void)
{
	echo_set_up_mmio();
	tb.step = echo_step;
	tb.step_arg = &echo;
}

/* Nobody is left on the bus but ECAM, where there is one. */
static inline void echo_tear_down(void)
{
	vdriver_fini(&v);
	echo_fini(&echo);
	ck_assert_uint_eq(tb.mmio.nbells, 0);
	ck_assert_uint_eq(tb.mmio.nranges, 1);
	testbed_fini(&tb);
}

/* A request on that queue comes back as it was sent. */
static inline void check_echo(unsigned q)
{
	char sent[] = "hello, device", got[sizeof(sent)] = { 0 };
	struct iovec out = { sent, sizeof(sent) }, in = { got, sizeof(got) };

	ck_assert_int_eq(vdriver_request(&v, q, &out, 1, &in, 1, 5000), sizeof(sent));
	ck_assert_str_eq(got, sent);
}

#endif
