/* SPDX-License-Identifier: MIT */
/*
 * vdpa_fixture.h - a device of the kernel's vDPA that is not there: ioctl() is the suite's own.
 * What would be written to the device's file is in a file without a name.
 */
#ifndef TESTS_UNIT_VDPA_FIXTURE_H
#define TESTS_UNIT_VDPA_FIXTURE_H

#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "virtio/virtio.h"
#include "vmm/core/compat.h"

#define FAKE_CONFIG 60
#define FAKE_MSG_V2 VIRTIO_BIT(1)
#define FAKE_CAN_SUSPEND VIRTIO_BIT(4)

static struct {
	uint32_t id, queues, config_len;
	uint16_t queue_size;
	uint64_t features, backend;
	_Atomic uint8_t status; /* asked for by the device's thread, too */
	uint8_t refused;        /* bits of the status that it does not take */
	uint8_t config[FAKE_CONFIG];
	unsigned long failing; /* the request that fails, */
	int error;             /* with this */
	int changed;           /* the eventfd by which it tells of changes */
	int fd;
	char heard[4096];
} fake;

static void heard(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void heard(const char *fmt, ...)
{
	size_t at = strlen(fake.heard);
	va_list args;

	va_start(args, fmt);
	ck_assert_uint_lt((size_t)vsnprintf(fake.heard + at, sizeof(fake.heard) - at, fmt, args),
			  sizeof(fake.heard) - at);
	va_end(args);
}

/* What it has heard since the last look. */
static inline const char *fake_look(void)
{
	static char text[sizeof(fake.heard)];

	strcpy(text, fake.heard);
	*fake.heard = '\0';
	return text;
}

static int fake_config(const struct vhost_vdpa_config *c, uint8_t *to, const uint8_t *from)
{
	ck_assert_uint_le(c->off + c->len, fake.config_len);
	memcpy(to, from, c->len);
	return 0;
}

/* A fixed-size request. */
static void fake_answer(unsigned long request, void *arg)
{
	const struct vhost_vring_state *state = arg;
	const struct vhost_vring_addr *addr = arg;
	const struct vhost_vring_file *file = arg;

	switch (request) {
	case VHOST_SET_OWNER: heard("own "); break;
	case VHOST_GET_BACKEND_FEATURES: *(uint64_t *)arg = fake.backend; break;
	case VHOST_SET_BACKEND_FEATURES:
		heard("backend=%llx ", *(unsigned long long *)arg);
		break;
	case VHOST_GET_FEATURES: *(uint64_t *)arg = fake.features; break;
	case VHOST_SET_FEATURES: heard("features=%llx ", *(unsigned long long *)arg); break;
	case VHOST_VDPA_GET_DEVICE_ID: *(uint32_t *)arg = fake.id; break;
	case VHOST_VDPA_GET_VQS_COUNT: *(uint32_t *)arg = fake.queues; break;
	case VHOST_VDPA_GET_VRING_NUM: *(uint16_t *)arg = fake.queue_size; break;
	case VHOST_VDPA_GET_CONFIG_SIZE: *(uint32_t *)arg = fake.config_len; break;
	case VHOST_VDPA_SET_CONFIG_CALL: fake.changed = *(int *)arg; break;
	case VHOST_VDPA_GET_STATUS: *(uint8_t *)arg = fake.status; break;
	case VHOST_VDPA_SET_STATUS:
		heard("status=%x ", *(uint8_t *)arg);
		fake.status = *(uint8_t *)arg & ~fake.refused;
		break;
	case VHOST_SET_VRING_NUM: heard("num%u=%u ", state->index, state->num); break;
	case VHOST_SET_VRING_BASE: heard("base%u=%u ", state->index, state->num); break;
	case VHOST_GET_VRING_BASE:
		heard("base%u? ", state->index);
		((struct vhost_vring_state *)arg)->num = 7;
		break;
	case VHOST_VDPA_SET_VRING_ENABLE: heard("enable%u=%u ", state->index, state->num); break;
	case VHOST_SET_VRING_ADDR:
		heard("addr%u(%llx,%llx,%llx) ", addr->index,
		      (unsigned long long)addr->desc_user_addr,
		      (unsigned long long)addr->avail_user_addr,
		      (unsigned long long)addr->used_user_addr);
		break;
	case VHOST_SET_VRING_KICK: heard("kick%u=%d ", file->index, file->fd >= 0); break;
	case VHOST_SET_VRING_CALL: heard("call%u=%d ", file->index, file->fd >= 0); break;
	case VHOST_SET_VRING_ERR: heard("err%u=%d ", file->index, file->fd >= 0); break;
	case VHOST_VDPA_SUSPEND: heard("suspend "); break;
	default: ck_abort_msg("request %lx", request);
	}
}

int ioctl(int fd, unsigned long request, ...)
{
	struct vhost_vdpa_config *config;
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (_IOC_TYPE(request) != VHOST_VIRTIO)
		return (int)syscall(SYS_ioctl, fd, request, arg);
	if (request == fake.failing) {
		errno = fake.error;
		return -1;
	}
	config = arg;
	if (request == VHOST_VDPA_GET_CONFIG)
		return fake_config(config, config->buf, fake.config + config->off);
	if (request == VHOST_VDPA_SET_CONFIG)
		return fake_config(config, fake.config + config->off, config->buf);
	fake_answer(request, arg);
	return 0;
}

/* A disk with two queues, which suspends. */
static inline void fake_set_up(void)
{
	memset(&fake, 0, sizeof(fake));
	fake.id = VIRTIO_ID_BLOCK;
	fake.queues = 2;
	fake.queue_size = 64;
	fake.config_len = FAKE_CONFIG;
	fake.features = VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_F_ACCESS_PLATFORM) |
			VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX) | VIRTIO_BIT(9);
	fake.backend = FAKE_MSG_V2 | FAKE_CAN_SUSPEND;
	fake.changed = -1;
	fake.fd = memfd_create("vdpa", MFD_CLOEXEC);
	ck_assert_int_ge(fake.fd, 0);
}

/* What it is told of memory since the last time: "-IOVA+SIZE" is unmapped, "IOVA+SIZE" mapped. */
static inline const char *fake_memory(void)
{
	static char text[4096];
	struct vhost_msg_v2 m;
	size_t at = 0;

	lseek(fake.fd, 0, SEEK_SET);
	*text = '\0';
	while (read(fake.fd, &m, sizeof(m)) == sizeof(m)) {
		ck_assert_uint_eq(m.type, VHOST_IOTLB_MSG_V2);
		ck_assert(m.iotlb.type == VHOST_IOTLB_INVALIDATE ||
			  (m.iotlb.type == VHOST_IOTLB_UPDATE &&
			   m.iotlb.perm == VHOST_ACCESS_RW && m.iotlb.uaddr));
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%llx+%llx ",
				       m.iotlb.type == VHOST_IOTLB_UPDATE ? "" : "-",
				       (unsigned long long)m.iotlb.iova,
				       (unsigned long long)m.iotlb.size);
	}
	ck_assert_int_eq(ftruncate(fake.fd, 0), 0);
	lseek(fake.fd, 0, SEEK_SET);
	return text;
}

#endif
