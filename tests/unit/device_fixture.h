/* SPDX-License-Identifier: MIT */
/*
 * device_fixture.h - a virtio device whose transport and back ends do nothing but remember.
 */
#ifndef TESTS_DEVICE_FIXTURE_H
#define TESTS_DEVICE_FIXTURE_H

#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/lib/driver.h"
#include "tests/lib/stderr.h"
#include "virtio/virtio.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"

#define ACK VIRTIO_CONFIG_S_ACKNOWLEDGE
#define DRV VIRTIO_CONFIG_S_DRIVER
#define FOK VIRTIO_CONFIG_S_FEATURES_OK
#define DOK VIRTIO_CONFIG_S_DRIVER_OK
#define BAD VIRTIO_CONFIG_S_NEEDS_RESET
#define FAIL VIRTIO_CONFIG_S_FAILED
#define V1 VIRTIO_BIT(VIRTIO_F_VERSION_1)
#define CLASS_BITS (VIRTIO_BIT(0) | VIRTIO_BIT(1) | VIRTIO_BIT(35))

/* A transport and a back end that do nothing but remember. */
static struct virtio_device vdev;
static struct virtio_backend backend;
static struct mem mem;
static unsigned notified, config_notified, starts, stops, destroyed, resets;
static int kick_fd, start_result;
static uint64_t backend_features;
static uint8_t config[6];

static inline int fake_kick_fd(struct virtio_device *v, unsigned q)
{
	(void)v;
	(void)q;
	return kick_fd;
}

static inline void fake_notify(struct virtio_device *v, unsigned q)
{
	(void)v;
	(void)q;
	notified++;
}

static inline void fake_notify_config(struct virtio_device *v)
{
	(void)v;
	config_notified++;
}

static const struct virtio_transport_ops transport = {
	.name = "fake",
	.kick_fd = fake_kick_fd,
	.notify = fake_notify,
	.notify_config = fake_notify_config,
};

static inline uint64_t fake_features(struct virtio_backend *be)
{
	(void)be;
	return backend_features;
}

static inline int fake_start(struct virtio_backend *be, struct virtio_device *v)
{
	(void)be;
	ck_assert_uint_ne(virtio_get_status(v) & DOK, 0);
	starts++;
	return start_result;
}

static inline void fake_stop(struct virtio_backend *be, struct virtio_device *v)
{
	(void)be;
	(void)v;
	stops++;
}

static inline void fake_destroy(struct virtio_backend *be)
{
	(void)be;
	destroyed++;
}

static const struct virtio_backend_ops backend_ops = {
	.name = "fake",
	.features = fake_features,
	.start = fake_start,
	.stop = fake_stop,
	.destroy = fake_destroy,
};

static inline void take_low_half(struct virtio_device *v, size_t off, const void *data, size_t len)
{
	if (off + len <= 3)
		memcpy(v->config + off, data, len);
}

static inline void class_reset(struct virtio_device *v)
{
	ck_assert(!v->started);
	resets++;
}

static const struct virtio_class class = {
	.name = "unit",
	.id = 99,
	.features = CLASS_BITS,
	.config_write = take_low_half,
	.reset = class_reset,
};

static inline void set_up(void)
{
	memset(&vdev, 0, sizeof(vdev));
	notified = config_notified = starts = stops = destroyed = resets = 0;
	start_result = 0;
	backend_features = UINT64_MAX;
	backend.ops = &backend_ops;
	kick_fd = eventfd(0, EFD_NONBLOCK);
	memcpy(config, "config", 6);
	strcpy(vdev.name, "u0");
	vdev.class = &class;
	vdev.transport = &transport;
	vdev.config = config;
	vdev.config_len = sizeof(config);
	ck_assert_int_eq(mem_add(&mem, 0, MIB(1)), 0);
	ck_assert_int_eq(virtio_device_init(&vdev, &mem, &backend, NULL, 3, 128), 0);
	log_set_level(LOG_ERR);
}

static inline void tear_down(void)
{
	virtio_device_stop(&vdev);
	virtio_device_fini(&vdev);
	ck_assert_uint_eq(destroyed, 1);
	mem_free(&mem);
	close(kick_fd);
}

static inline uint8_t status(uint8_t s)
{
	virtio_set_status(&vdev, s);
	return virtio_get_status(&vdev);
}

static inline void features(uint64_t bits)
{
	virtio_set_features(&vdev, 0, bits);
	virtio_set_features(&vdev, 1, bits >> 32);
}

static inline void run(void)
{
	features(V1);
	ck_assert_uint_eq(status(ACK | DRV | FOK | DOK), ACK | DRV | FOK | DOK);
	ck_assert(vdev.started);
}

/* One that keeps the config space itself; when it fails, after it has begun to answer. */
static char served_config[] = "SERVED";
static int config_error;

static inline int served_get(struct virtio_backend *be, size_t off, void *data, size_t len)
{
	ck_assert_ptr_eq(be, &backend);
	ck_assert(off < sizeof(config) && len && len <= sizeof(config) - off);
	memcpy(data, served_config + off, len);
	return config_error;
}

static inline void served_set(struct virtio_backend *be, size_t off, const void *data, size_t len)
{
	ck_assert_ptr_eq(be, &backend);
	ck_assert(off < sizeof(config) && len && len <= sizeof(config) - off);
	memcpy(served_config + off, data, len);
}

/* Two that share the queues: @half serves queue 0, the one beside it the others. */
static const char *calls[8];
static unsigned ncalls;
static bool half_fails, rest_fails;

static inline bool half_serves(const struct virtio_backend *be, unsigned q)
{
	(void)be;
	return q == 0;
}

static inline int half_start(struct virtio_backend *be, struct virtio_device *v)
{
	ck_assert(virtio_serves(v, be, 0));
	ck_assert(!virtio_serves(v, be, 1));
	ck_assert(!virtio_serves(v, be, 2)); /* nobody's, as it is not ready */
	calls[ncalls++] = "half starts";
	return half_fails ? -EIO : 0;
}

static inline void half_stop(struct virtio_backend *be, struct virtio_device *v)
{
	(void)be;
	(void)v;
	calls[ncalls++] = "half stops";
}

static inline int rest_start(struct virtio_backend *be, struct virtio_device *v)
{
	ck_assert(!virtio_serves(v, be, 0));
	ck_assert(virtio_serves(v, be, 1));
	ck_assert(!virtio_serves(v, be, 2));
	calls[ncalls++] = "rest starts";
	return rest_fails ? -EIO : 0;
}

static inline void rest_stop(struct virtio_backend *be, struct virtio_device *v)
{
	(void)be;
	(void)v;
	calls[ncalls++] = "rest stops";
}

#endif
