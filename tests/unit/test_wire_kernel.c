/* SPDX-License-Identifier: MIT */
/*
 * The form of what the kernel is told: ioctl() is the suite's own, which remembers each call, and
 * answers as it is told.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "virtio/virtio.h"
#include "virtio/wire.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"

Suite *wire_kernel_suite(void);

#define NEW_WORKER _IOR(VHOST_VIRTIO, 0x8, unsigned)
#define ATTACH_WORKER _IOW(VHOST_VIRTIO, 0x15, struct vhost_vring_state)
#define TEXT 4096

static struct virtio_device vdev;
static struct vhost_wire *wire;
static struct stderr_text said;
static char heard[TEXT], *end;
static int fd, idle;
static unsigned long failing; /* the request that fails, with this error, after so many that work */
static int error;
static unsigned good, workers, moves;

static void hear(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void hear(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	end += vsnprintf(end, heard + TEXT - end, fmt, args);
	va_end(args);
	ck_assert(end < heard + TEXT);
}

/* What has been heard since the last look. */
static const char *look(void)
{
	static char text[TEXT];

	strcpy(text, heard);
	*heard = '\0';
	end = heard;
	return text;
}

static void hear_addr(const struct vhost_vring_addr *a)
{
	hear("addr%u(%llx,%llx,%llx) ", a->index, (unsigned long long)a->desc_user_addr,
	     (unsigned long long)a->avail_user_addr, (unsigned long long)a->used_user_addr);
	ck_assert_uint_eq(a->flags, 0);
}

static void hear_memory(const struct vhost_memory *m)
{
	unsigned i;

	hear("mem(");
	for (i = 0; i < m->nregions; i++)
		hear("%llx+%llx@%llx", (unsigned long long)m->regions[i].guest_phys_addr,
		     (unsigned long long)m->regions[i].memory_size,
		     (unsigned long long)m->regions[i].userspace_addr);
	hear(") ");
}

static void hear_state(const char *name, const struct vhost_vring_state *s)
{
	hear("%s%u=%u ", name, s->index, s->num);
}

/* The descriptor that nobody else knows is the one for waiting. */
static void hear_file(const char *name, const struct vhost_vring_file *f)
{
	if (f->fd >= 0 && f->fd < 1000) {
		ck_assert(idle < 0 || idle == f->fd);
		idle = f->fd;
		hear("%s%u=idle ", name, f->index);
	} else {
		hear("%s%u=%d ", name, f->index, f->fd);
	}
}

static void answer(unsigned long request, void *arg)
{
	struct vhost_vring_state *state = arg;

	switch (request) {
	case VHOST_SET_OWNER:
		hear("own ");
		break;
	case VHOST_GET_FEATURES:
		*(uint64_t *)arg = 0xabcd;
		break;
	case VHOST_SET_FEATURES:
		hear("features=%llx ", *(unsigned long long *)arg);
		break;
	case VHOST_SET_MEM_TABLE:
		hear_memory(arg);
		break;
	case VHOST_SET_VRING_NUM:
		hear_state("num", arg);
		break;
	case VHOST_SET_VRING_BASE:
		hear_state("base", arg);
		break;
	case VHOST_GET_VRING_BASE:
		state->num = 7 + (moves ? moves-- : 0);
		hear("base%u? ", state->index);
		break;
	case VHOST_SET_VRING_ADDR:
		hear_addr(arg);
		break;
	case VHOST_SET_VRING_KICK:
		hear_file("kick", arg);
		break;
	case VHOST_SET_VRING_CALL:
		hear_file("call", arg);
		break;
	case VHOST_SET_VRING_ERR:
		hear_file("err", arg);
		break;
	case NEW_WORKER:
		*(unsigned *)arg = ++workers;
		break;
	case ATTACH_WORKER:
		hear_state("worker", arg);
		break;
	default:
		ck_abort_msg("request %lx", request);
	}
}

int ioctl(int to, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	ck_assert_int_eq(to, fd);
	if (request == failing && !good--) {
		good = 0;
		errno = error;
		return -1;
	}
	answer(request, arg);
	return 0;
}

static int set(void *arg, int to)
{
	ck_assert_ptr_eq(arg, &vdev);
	ck_assert_int_eq(to, fd);
	hear("set ");
	return error ? -error : 0;
}

static void clear(void *arg, int to)
{
	ck_assert_ptr_eq(arg, &vdev);
	ck_assert_int_eq(to, fd);
	hear("clear ");
}

static const struct vhost_endpoint_ops endpoint = { set, clear };

static void set_up(void)
{
	vdev = (struct virtio_device){ .name = "k0", .nvq = 5 };
	failing = good = workers = moves = 0;
	error = 0;
	idle = -1;
	look();
	log_set_level(LOG_WARN);
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	wire = vhost_kernel_create(&vdev, fd, 2, &endpoint, &vdev);
	ck_assert_ptr_nonnull(wire);
}

/* With what it has opened. */
static void tear_down(void)
{
	wire->ops->close(wire);
	ck_assert_int_lt(fcntl(fd, F_GETFD), 0);
	ck_assert(idle < 0 || fcntl(idle, F_GETFD) < 0);
}

static void fails(unsigned long request, int err, unsigned after)
{
	failing = request;
	error = err;
	good = after;
}

/* All request queues but the first have a worker of their own. */
START_TEST(owner)
{
	ck_assert_int_eq(wire->ops->own(wire), 0);
	ck_assert_str_eq(look(), "own worker3=1 worker4=2 ");
}
END_TEST

/* A kernel that has one worker, or no more of them, is one that serves. */
static const struct few {
	unsigned long request;
	unsigned after;
	const char *heard;
} fews[] = {
	{ NEW_WORKER, 0, "own " },
	{ NEW_WORKER, 1, "own worker3=1 " },
	{ ATTACH_WORKER, 0, "own " },
	{ ATTACH_WORKER, 1, "own worker3=1 " },
};

START_TEST(few_workers)
{
	fails(fews[_i].request, ENOTTY, fews[_i].after);
	stderr_begin(&said);
	ck_assert_int_eq(wire->ops->own(wire), 0);
	ck_assert_str_eq(stderr_end(&said), "");
	ck_assert_str_eq(look(), fews[_i].heard);
}
END_TEST

START_TEST(feature_bits)
{
	ck_assert_uint_eq(wire->ops->features(wire), 0xabcd);
	ck_assert_int_eq(wire->ops->set_features(wire, 0x123456789a), 0);
	ck_assert_str_eq(look(), "features=123456789a ");
	fails(VHOST_GET_FEATURES, ENOTTY, 0);
	ck_assert_uint_eq(wire->ops->features(wire), 0);
}
END_TEST

START_TEST(memory_table)
{
	struct mem mem = { .nregions = 2, .region = {
		{ .gpa = 0, .size = 0x1000, .hva = (void *)0x70000 },
		{ .gpa = 0x100000000, .size = 0x2000, .hva = (void *)0x90000 } } };

	ck_assert_int_eq(wire->ops->set_mem(wire, &mem), 0);
	ck_assert_str_eq(look(), "mem(0+1000@70000100000000+2000@90000) ");
	fails(VHOST_SET_MEM_TABLE, E2BIG, 0);
	stderr_begin(&said);
	ck_assert_int_eq(wire->ops->set_mem(wire, &mem), -E2BIG);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "k0: this guest has 2 memory regions; "
				     "raise max_mem_regions of the module vhost\n"));
}
END_TEST

START_TEST(ring)
{
	struct virtqueue vq = { .desc = (void *)0x1000, .driver = (void *)0x2000,
				.device = (void *)0x3000 };
	uint32_t base = 0;

	ck_assert_int_eq(wire->ops->ring_size(wire, 3, 32768), 0);
	ck_assert_int_eq(wire->ops->ring_set_base(wire, 3, 65535), 0);
	ck_assert_int_eq(wire->ops->ring_addr(wire, 3, &vq), 0);
	ck_assert_int_eq(wire->ops->ring_fd(wire, 3, VHOST_FD_ERR, 1001), 0);
	ck_assert_int_eq(wire->ops->ring_fd(wire, 3, VHOST_FD_CALL, 1002), 0);
	ck_assert_int_eq(wire->ops->ring_fd(wire, 3, VHOST_FD_KICK, 1003), 0);
	ck_assert_int_eq(wire->ops->ring_enable(wire, 3, true), 0);
	ck_assert_int_eq(wire->ops->ring_get_base(wire, 3, &base), 0);
	ck_assert_uint_eq(base, 7);
	ck_assert_str_eq(look(), "num3=32768 base3=65535 addr3(1000,2000,3000) err3=1001 "
			 "call3=1002 kick3=1003 base3? ");
	wire->ops->ring_close(wire, 3);
	ck_assert_str_eq(look(), "kick3=-1 call3=-1 err3=-1 addr3(0,0,0) ");
}
END_TEST

/* It is waited for again as long as the ring goes on, and not for ever. */
START_TEST(quiet)
{
	static const char round[] = "kick1=idle kick1=-1 base1? ";
	unsigned rounds = 0;
	const char *at;

	ck_assert_int_eq(wire->ops->ring_enable(wire, 1, false), 0);
	ck_assert_str_eq(look(), "kick1=-1 base1? kick1=idle kick1=-1 base1? ");
	moves = 2;
	ck_assert_int_eq(wire->ops->ring_enable(wire, 1, false), 0);
	ck_assert_str_eq(look(), "kick1=-1 base1? kick1=idle kick1=-1 base1? "
			 "kick1=idle kick1=-1 base1? kick1=idle kick1=-1 base1? ");
	moves = 1000;
	ck_assert_int_eq(wire->ops->ring_enable(wire, 1, false), 0);
	for (at = look() + strlen("kick1=-1 base1? "); *at; at += strlen(round), rounds++)
		ck_assert_int_eq(strncmp(at, round, strlen(round)), 0);
	ck_assert_uint_eq(rounds, 64);
}
END_TEST

START_TEST(end_point)
{
	ck_assert_int_eq(wire->ops->run(wire, true), 0);
	ck_assert_int_eq(wire->ops->run(wire, false), 0);
	ck_assert_str_eq(look(), "set clear ");
	error = ENODEV;
	ck_assert_int_eq(wire->ops->run(wire, true), -ENODEV);
}
END_TEST

static int do_own(void) { return wire->ops->own(wire); }
static int do_features(void) { return wire->ops->set_features(wire, 1); }
static int do_mem(void) { return wire->ops->set_mem(wire, &(struct mem){ 0 }); }
static int do_size(void) { return wire->ops->ring_size(wire, 0, 1); }
static int do_base(void) { return wire->ops->ring_set_base(wire, 0, 1); }
static int do_addr(void) { return wire->ops->ring_addr(wire, 0, &(struct virtqueue){ 0 }); }
static int do_kick(void) { return wire->ops->ring_fd(wire, 0, VHOST_FD_KICK, 1); }
static int do_call(void) { return wire->ops->ring_fd(wire, 0, VHOST_FD_CALL, 1); }
static int do_err(void) { return wire->ops->ring_fd(wire, 0, VHOST_FD_ERR, 1); }

static int do_get_base(void)
{
	uint32_t base;

	return wire->ops->ring_get_base(wire, 0, &base);
}

#define STEP(request, make) { request, #request, make }

static const struct step {
	unsigned long request;
	const char *name;
	int (*make)(void);
} steps[] = {
	STEP(VHOST_SET_OWNER, do_own),
	STEP(VHOST_SET_FEATURES, do_features),
	STEP(VHOST_SET_MEM_TABLE, do_mem),
	STEP(VHOST_SET_VRING_NUM, do_size),
	STEP(VHOST_SET_VRING_BASE, do_base),
	STEP(VHOST_SET_VRING_ADDR, do_addr),
	STEP(VHOST_SET_VRING_KICK, do_kick),
	STEP(VHOST_SET_VRING_CALL, do_call),
	STEP(VHOST_SET_VRING_ERR, do_err),
	STEP(VHOST_GET_VRING_BASE, do_get_base),
};

/* One line, which names the device and the call, and nothing else is done. */
START_TEST(failures)
{
	char line[200];

	fails(steps[_i].request, EPERM, 0);
	stderr_begin(&said);
	ck_assert_int_eq(steps[_i].make(), -EPERM);
	snprintf(line, sizeof(line), "lunette: warning: k0: %s: Operation not permitted\n",
		 steps[_i].name);
	ck_assert_str_eq(stderr_end(&said), line);
	ck_assert_str_eq(look(), "");
}
END_TEST

/* A ring is closed as far as can be. */
START_TEST(close_goes_on)
{
	fails(VHOST_SET_VRING_KICK, EPERM, 0);
	stderr_begin(&said);
	wire->ops->ring_close(wire, 0);
	stderr_end(&said);
	ck_assert_str_eq(look(), "call0=-1 err0=-1 addr0(0,0,0) ");
}
END_TEST

START_TEST(empty_owner)
{
	unsigned id = 0;

	ck_assert_int_eq(vhost_kernel_own_empty(fd), 0);
	ck_assert_int_eq(vhost_kernel_new_worker(fd, &id), 0);
	ck_assert_uint_eq(id, 1);
	ck_assert_str_eq(look(), "own mem() ");
	fails(VHOST_SET_MEM_TABLE, EFAULT, 0);
	ck_assert_int_eq(vhost_kernel_own_empty(fd), -EFAULT);
	fails(VHOST_SET_OWNER, EBUSY, 0);
	ck_assert_int_eq(vhost_kernel_own_empty(fd), -EBUSY);
	fails(NEW_WORKER, ENOTTY, 0);
	ck_assert_int_eq(vhost_kernel_new_worker(fd, &id), -ENOTTY);
}
END_TEST

Suite *wire_kernel_suite(void)
{
	Suite *s = suite_create("wire_kernel");
	TCase *tc = unit_case(s, "wire_kernel");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, owner);
	tcase_add_loop_test(tc, few_workers, 0, ARRAY_SIZE(fews));
	tcase_add_test(tc, feature_bits);
	tcase_add_test(tc, memory_table);
	tcase_add_test(tc, ring);
	tcase_add_test(tc, quiet);
	tcase_add_test(tc, end_point);
	tcase_add_loop_test(tc, failures, 0, ARRAY_SIZE(steps));
	tcase_add_test(tc, close_goes_on);
	tcase_add_test(tc, empty_owner);
	return s;
}

UNIT_MAIN(wire_kernel_suite)
