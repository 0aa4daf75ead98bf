/* SPDX-License-Identifier: MIT */
/*
 * user_machines.h - a machine whose memory is shared, and another one with an echo
 * device, which a vhost-user server serves to the first.
 */
#ifndef TESTS_USER_MACHINES_H
#define TESTS_USER_MACHINES_H

#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/echo.h"
#include "tests/lib/stderr.h"
#include "tests/lib/user_server.h"
#include "tests/lib/vdriver.h"
#include "vmm/core/util.h"

#define SIZE 16

static struct testbed tb, far;
static struct echo echo;
static struct user_server server;
static struct vdriver v;
static struct stderr_text said;

static void set_up_machines(void)
{
	testbed_init_shared(&tb);
	testbed_init(&far);
	echo_init(&echo, &far, "far0", VIRTIO_ON_PCI);
	testbed_start(&far);
	user_server_start(&server, &echo.vdev);
	memset(&v, 0, sizeof(v));
	log_set_level(LOG_WARN);
}

static void tear_down_machines(void)
{
	vdriver_fini(&v);
	device_destroy_all(&tb.devices);
	user_server_end(&server);
	ck_assert(!echo.vdev.started);
	echo_fini(&echo);
	testbed_fini(&far);
	testbed_fini(&tb);
}

/* A request on queue @q comes back as it went. */
static void check_echo(unsigned q)
{
	char out[100], in[100] = { 0 };
	struct iovec o = { out, sizeof(out) }, i = { in, sizeof(in) };

	memset(out, 'a' + q, sizeof(out));
	ck_assert_int_eq(vdriver_request(&v, q, &o, 1, &i, 1, 10000), sizeof(in));
	ck_assert_mem_eq(in, out, sizeof(out));
}

#endif
