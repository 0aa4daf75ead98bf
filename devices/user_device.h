/* SPDX-License-Identifier: MIT */
/*
 * user_device.h - what devices share whose queues another process serves, by the
 * vhost-user protocol. The file of such a class says what the device is to the
 * driver, which of its config space is the server's, and how many queues it has.
 */
#ifndef DEVICES_USER_DEVICE_H
#define DEVICES_USER_DEVICE_H

#include "devices/devices.h"
#include "virtio/virtio.h"
#include "virtio/wire_user.h"

#define USER_DEVICE_CONFIG_MAX 64

/* The settings of each class; those of one may go on behind them. */
struct user_device_cfg {
	unsigned transport; /* enum virtio_transport */
	const char *socket;
	uint32_t queues;    /* of requests; or USER_DEVICE_AUTO */
	uint32_t comeback;  /* s; 0: a server that has gone is not waited for */
	const char *by;     /* NULL: the user has started the program */
};

/* Rows for them; "once": of a class whose program nobody can follow; "alone": nor are there queues
 * to choose. */
#define USER_DEVICE_OPTS_ALONE(settings)                                                      \
	VIRTIO_TRANSPORT_OPT(settings, base.transport),                                        \
	{ "socket", OPT_STR, offsetof(settings, base.socket), .arg = "PATH",                   \
	  .help = "where the program that serves it listens" }
#define USER_DEVICE_OPTS_ONCE(settings)                                                       \
	USER_DEVICE_OPTS_ALONE(settings),                                                     \
	{ "queues", OPT_U32, offsetof(settings, base.queues), "auto", 1, 32, user_device_auto, \
	  .help = "of requests; auto: as many as the guest has CPUs and the program serves" }
#define USER_DEVICE_OPTS(settings)                                                            \
	USER_DEVICE_OPTS_ONCE(settings), USER_DEVICE_OPT_COMEBACK(settings)
#define USER_DEVICE_OPT_COMEBACK(settings)                                                    \
	{ "comeback", OPT_U32, offsetof(settings, base.comeback), "60", 0, 86400,              \
	  .help = "seconds that the guest waits for a program that has ended to be there "     \
		  "again" }

#define USER_DEVICE_AUTO 33 /* of queues: what the word "auto" sets */
extern const char *const user_device_auto[];

struct user_device;

struct user_device_kind {
	size_t size; /* of the device's structure, which begins with struct user_device */
	const struct virtio_class *class; /* reset and config_write are filled in */
	size_t config_len;    /* of the device */
	bool config_is_servers;
	unsigned other_queues; /* before those of requests */
	unsigned all_queues;   /* of any kind, if that is no choice; 0: it is one */
	uint16_t queue_size;
	size_t writable_at, writable_len; /* what of it drivers may write; 0: nothing */
	bool once; /* the server knows what no other one can, and is not waited for */
	bool in_order; /* as in struct vhost_user_spec */
	/* Of @cfg what is the class's own; NULL: nothing is. */
	void (*take)(struct user_device *u, const struct user_device_cfg *cfg);
	/* The config space has come from the server, or is to be filled in: the device's own, with
	 * the number of request queues. NULL: all of it is the server's. */
	void (*config)(struct user_device *u, uint8_t *config);
	/* How many request queues its config space tells of; NULL: one. */
	unsigned (*queues_told)(const uint8_t *config);
	/* As in struct vhost_user_spec; NULL: the socket is dialled, and may be again. */
	int (*dial)(struct user_device *u);
	void (*gone)(struct user_device *u);
	const char *lost; /* as there; NULL: as for all */
	/* What take() and dial() have got besides goes; NULL: nothing. */
	void (*end)(struct user_device *u);
};

struct user_device {
	struct device dev;
	struct virtio_device vdev;
	struct virtio_class class;
	const struct user_device_kind *kind;
	struct platform *platform;
	struct vhost_user *user; /* NULL once the back end has it */
	struct vhost_user *wire; /* the same, as long as the device lives */
	struct loop *loop;
	unsigned transport, queues; /* of requests, or all */
	const char *socket; /* what @take has put there, or the option's */
	const char *by;     /* the option's */
	uint8_t config[USER_DEVICE_CONFIG_MAX];
};

/* A class's create(): makes the device, and connects. -errno after one line. [setup] */
int user_device_create(struct platform *p, const char *id, const struct user_device_cfg *cfg,
		       const struct user_device_kind *kind, struct device **dev);

/* As in struct device_class. */
int user_device_ready(struct device *dev);
struct virtio_device *user_device_vdev(struct device *dev);
void user_device_explain(const struct device *dev, FILE *out);
void user_device_destroy(struct device *dev);

/* The rows of them in each class. */
#define USER_DEVICE_OTHER_CALLS                                                               \
	.ready = user_device_ready, .shares_memory = true, .virtio = user_device_vdev,        \
	.destroy = user_device_destroy
#define USER_DEVICE_CALLS USER_DEVICE_OTHER_CALLS, .explain = user_device_explain

#endif
