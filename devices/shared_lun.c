/* SPDX-License-Identifier: MIT */
#include "devices/shared_lun.h"

#include <errno.h>
#include <linux/virtio_scsi.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "devices/devices.h"
#include "devices/disk_name.h"
#include "devices/scsi_host.h"
#include "devices/user_serve.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

/* What all who share a disk have to say alike, and how it is shown. */

static const char *const off_on[] = { "off", "on" };

static const struct {
	const char *key;
	size_t at;
	bool text;
	const char *const *words; /* NULL: a number */
} alike[] = {
	{ "serial", offsetof(struct shared_hello, serial), true, NULL },
	{ "wwn", offsetof(struct shared_hello, wwn), true, NULL },
	{ "block-size", offsetof(struct shared_hello, block_size), false, NULL },
	{ "physical-block", offsetof(struct shared_hello, physical_block), false, NULL },
	{ "format", offsetof(struct shared_hello, format), false, block_format_words },
	{ "io", offsetof(struct shared_hello, engine), false, medium_engine_words },
	{ "backing", offsetof(struct shared_hello, backing), false, medium_backing_words },
	{ "readonly", offsetof(struct shared_hello, readonly), false, off_on },
	{ "direct", offsetof(struct shared_hello, direct), false, off_on },
	{ "removable", offsetof(struct shared_hello, removable), false, off_on },
	{ "discard", offsetof(struct shared_hello, discard), false, off_on },
};

static uint32_t number(const struct shared_hello *hello, unsigned i)
{
	uint32_t value;

	memcpy(&value, (const char *)hello + alike[i].at, sizeof(value));
	return value;
}

static const char *text(const struct shared_hello *hello, unsigned i)
{
	return (const char *)hello + alike[i].at;
}

static void show(const struct shared_hello *hello, unsigned i, char *to, size_t size)
{
	if (alike[i].text && !*text(hello, i))
		snprintf(to, size, "no %s=", alike[i].key);
	else if (alike[i].text)
		snprintf(to, size, "%s=%s", alike[i].key, text(hello, i));
	else if (alike[i].words)
		snprintf(to, size, "%s=%s", alike[i].key, alike[i].words[number(hello, i)]);
	else if (!number(hello, i))
		snprintf(to, size, "%s=auto", alike[i].key);
	else
		snprintf(to, size, "%s=%u", alike[i].key, number(hello, i));
}

static bool differs(const struct shared_hello *a, const struct shared_hello *b, unsigned i)
{
	return alike[i].text ? strcmp(text(a, i), text(b, i)) : number(a, i) != number(b, i);
}

static bool same_file(const struct shared_hello *a, const struct shared_hello *b)
{
	if (a->dev || a->ino || a->rdev)
		return a->dev == b->dev && a->ino == b->ino && a->rdev == b->rdev;
	return !strcmp(a->file, b->file);
}

static int refuse(struct shared_answer *answer, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int refuse(struct shared_answer *answer, int err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(answer->text, sizeof(answer->text), fmt, args);
	va_end(args);
	answer->err = err;
	return err;
}

static int compare(const struct shared_lun *s, const struct shared_hello *hello,
		   struct shared_answer *answer)
{
	char theirs[SCSI_ID_MAX + 24], ours[sizeof(theirs)];
	unsigned i;

	if (!same_file(&s->hello, hello))
		return refuse(answer, -EUSAGE, "--disk %.150s: shared=%s: is another file than "
			      "%.150s, which others share by this name", hello->file, s->name,
			      s->hello.file);
	for (i = 0; i < ARRAY_SIZE(alike); i++) {
		if (!differs(&s->hello, hello, i))
			continue;
		show(hello, i, theirs, sizeof(theirs));
		show(&s->hello, i, ours, sizeof(ours));
		return refuse(answer, -EUSAGE, "--disk %.150s: shared=%s: has %s; the others that "
			      "share it have %s", hello->file, s->name, theirs, ours);
	}
	return 0;
}

static bool ends(const char *string, size_t size)
{
	return memchr(string, 0, size);
}

static unsigned count_words(const char *const *words, unsigned most)
{
	unsigned n = 0;

	while (n < most && words[n])
		n++;
	return n;
}

bool shared_hello_ok(const struct shared_hello *hello)
{
	unsigned i;

	if (memcmp(hello->magic, SHARED_MAGIC, sizeof(hello->magic)) ||
	    !ends(hello->initiator, sizeof(hello->initiator)) ||
	    !ends(hello->file, sizeof(hello->file)) ||
	    !ends(hello->serial, sizeof(hello->serial)) || !ends(hello->wwn, sizeof(hello->wwn)))
		return false;
	for (i = 0; i < ARRAY_SIZE(alike); i++) {
		const char *const *words = alike[i].words;
		unsigned n = words == off_on ? 2 : words ? count_words(words, 32) : 0;

		if (words && number(hello, i) >= n)
			return false;
	}
	return (hello->block_size == 512 || hello->block_size == 4096) &&
	       (!hello->physical_block || hello->physical_block == 512 ||
		hello->physical_block == 4096);
}

/* The disk. */

static int open_medium(struct shared_lun *s, const struct shared_hello *hello)
{
	const struct medium_cfg cfg = {
		.file = hello->file, .store = block_stores[0]->name, .engine = hello->engine,
		.backing = hello->backing, .format = hello->format, .on_enospc = FULL_REPORT,
		.overlay = OVERLAY_OFF, .readonly = hello->readonly, .direct = hello->direct,
	};

	return medium_init(&s->medium, &s->platform, "shared", &cfg, hello->block_size, "--disk",
			   false);
}

static int init_lun(struct shared_lun *s, const struct shared_hello *hello)
{
	static const struct device_list none;
	const struct disk_name name = {
		.id = "shared", .list = &none, .path = s->medium.block->path, .bus = "shared",
		.serial = *hello->serial ? hello->serial : NULL,
		.wwn = *hello->wwn ? hello->wwn : NULL,
	};
	char serial[SCSI_ID_MAX + 1];
	int r = disk_name_serial(&name, serial);

	if (r < 0)
		return r;
	scsi_lun_init(&s->lun, s->medium.block, 0, serial);
	s->lun.block_size = hello->block_size;
	if (hello->physical_block)
		s->lun.physical_block = hello->physical_block;
	s->lun.removable = hello->removable;
	if (!hello->discard)
		s->lun.discard = false;
	r = disk_name_naa(&name, s->lun.naa);
	if (r < 0)
		scsi_lun_fini(&s->lun);
	return r;
}

int shared_lun_open(struct shared_lun *s, const char *name, const struct shared_hello *hello,
		    struct shared_answer *answer)
{
	int r;

	*s = (struct shared_lun){ .hello = *hello };
	snprintf(s->name, sizeof(s->name), "%s", name);
	log_hear(answer->text, sizeof(answer->text));
	r = open_medium(s, hello);
	if (!r) {
		r = init_lun(s, hello);
		if (r < 0)
			medium_fini(&s->medium);
	}
	log_hear(NULL, 0);
	answer->err = r;
	if (!r)
		pthread_mutex_init(&s->lock, NULL);
	else if (!*answer->text)
		refuse(answer, r, "--disk %.300s: %s", hello->file, strerror(-r));
	return r;
}

/* Initiators. */

static void drop(struct shared_initiator **at)
{
	scsi_port_fini(&(*at)->port);
	free(*at);
	*at = NULL;
}

void shared_lun_close(struct shared_lun *s)
{
	unsigned i;

	for (i = 0; i < SHARED_INITIATORS; i++) {
		if (s->initiator[i])
			drop(&s->initiator[i]);
	}
	scsi_lun_fini(&s->lun);
	medium_fini(&s->medium);
	pthread_mutex_destroy(&s->lock);
}

static bool is_registered(struct shared_lun *s, const struct shared_initiator *initiator)
{
	bool registered;

	pthread_mutex_lock(&s->lun.lock);
	registered = initiator->port.nexus[0]->registered;
	pthread_mutex_unlock(&s->lun.lock);
	return registered;
}

/* What others have preempted since its guest has gone is of no use any more. */
static void drop_forgotten(struct shared_lun *s)
{
	unsigned i;

	for (i = 0; i < SHARED_INITIATORS; i++) {
		struct shared_initiator *it = s->initiator[i];

		if (it && !it->lives && !is_registered(s, it))
			drop(&s->initiator[i]);
	}
}

static struct shared_initiator *find(const struct shared_lun *s, const char *name)
{
	unsigned i;

	for (i = 0; *name && i < SHARED_INITIATORS; i++) {
		if (s->initiator[i] && !strcmp(s->initiator[i]->name, name))
			return s->initiator[i];
	}
	return NULL;
}

/* 60 bits: the same for a name whenever it comes, and for no name none that was there before. */
static uint64_t address_of(const char *name)
{
	uint64_t address = hash_u64(name, strlen(name));

	if (!*name && getrandom(&address, sizeof(address), 0) < 0)
		address = user_now();
	return address & ((1ull << 60) - 1);
}

/* In place @i, whose number, and one, is the port's. */
static struct shared_initiator *make(struct shared_lun *s, unsigned i, const char *name)
{
	struct shared_initiator *it = calloc(1, sizeof(*it));

	if (!it)
		return NULL;
	snprintf(it->name, sizeof(it->name), "%s", name);
	scsi_port_init(&it->port, (uint16_t)(i + 1));
	it->port.initiator = address_of(name);
	if (scsi_port_add(&it->port, &s->lun) < 0) {
		scsi_port_fini(&it->port);
		free(it);
		return NULL;
	}
	s->initiator[i] = it;
	return it;
}

static int get_initiator(struct shared_lun *s, const struct shared_hello *hello,
			 struct shared_answer *answer, struct shared_initiator **initiator)
{
	struct shared_initiator *it = find(s, hello->initiator);
	unsigned i = 0;

	if (it && it->lives)
		return refuse(answer, -EADDRINUSE, "--disk %.150s: shared=%s: initiator=%s is "
			      "another guest that runs", hello->file, s->name, it->name);
	while (!it && i < SHARED_INITIATORS && s->initiator[i])
		i++;
	if (!it && i == SHARED_INITIATORS)
		return refuse(answer, -ENOSPC, "--disk %.150s: shared=%s: %u guests have it, or "
			      "are registered there; no more can be", hello->file, s->name,
			      SHARED_INITIATORS);
	if (!it)
		it = make(s, i, hello->initiator);
	if (!it)
		return refuse(answer, -ENOMEM, "shared=%s: the server is out of memory", s->name);
	it->lives = true;
	*initiator = it;
	return 0;
}

static unsigned count_living(const struct shared_lun *s)
{
	unsigned i, n = 0;

	for (i = 0; i < SHARED_INITIATORS; i++)
		n += s->initiator[i] && s->initiator[i]->lives;
	return n;
}

int shared_lun_join(struct shared_lun *s, const struct shared_hello *hello,
		    struct shared_answer *answer, struct shared_initiator **initiator)
{
	int r;

	*answer = (struct shared_answer){ 0 };
	r = compare(s, hello, answer);
	if (r < 0)
		return r;
	pthread_mutex_lock(&s->lock);
	drop_forgotten(s);
	r = get_initiator(s, hello, answer, initiator);
	answer->guests = count_living(s);
	pthread_mutex_unlock(&s->lock);
	answer->server = getpid();
	answer->size = s->medium.block->size;
	snprintf(answer->serial, sizeof(answer->serial), "%s", s->lun.serial);
	snprintf(answer->naa, sizeof(answer->naa), "%s", s->lun.naa);
	return r;
}

void shared_lun_leave(struct shared_lun *s, struct shared_initiator *initiator)
{
	pthread_mutex_lock(&s->lock);
	scsi_port_reset(&initiator->port);
	initiator->lives = false;
	drop_forgotten(s);
	pthread_mutex_unlock(&s->lock);
}

/* A guest's controller. */

struct guest {
	struct virtio_device vdev;
	struct scsi_port *port;
	struct scsi_host *host;
	struct user_serve serve;
};

static struct guest *guest_of(struct virtio_device *vdev)
{
	return container_of(vdev, struct guest, vdev);
}

static void kick(struct virtio_device *vdev, unsigned q)
{
	scsi_host_kick(guest_of(vdev)->host, q);
}

static int queue_start(struct virtio_device *vdev, unsigned q, struct loop *loop)
{
	static const struct scsi_host_format format = {
		.cdb_size = SCSI_CDB_MAX, .sense_size = SCSI_SENSE_MAX
	};

	return scsi_host_queue_start(guest_of(vdev)->host, q, loop, &format);
}

static void queue_stop(struct virtio_device *vdev, unsigned q)
{
	scsi_host_queue_stop(guest_of(vdev)->host, q);
}

static void reset(struct virtio_device *vdev)
{
	scsi_port_reset(guest_of(vdev)->port);
}

static const struct virtio_class class = {
	.name = "SCSI host",
	.id = VIRTIO_ID_SCSI,
	.features = VIRTIO_BIT(VIRTIO_SCSI_F_HOTPLUG) | VIRTIO_BIT(VIRTIO_SCSI_F_CHANGE),
	.kick = kick,
	.queue_start = queue_start,
	.queue_stop = queue_stop,
	.reset = reset,
};

static int make_controller(struct guest *g, struct scsi_port *port, struct loop *loop)
{
	int r;

	g->vdev.class = &class;
	snprintf(g->vdev.name, sizeof(g->vdev.name), "%s", loop_name(loop));
	r = virtio_device_init(&g->vdev, NULL, virtio_local_create(&loop, 1, SCSI_HOST_REQUEST),
			       NULL, USER_SERVE_RINGS, 128);
	if (r < 0)
		return r;
	g->port = port;
	g->host = scsi_host_create(&g->vdev, port, &loop, 1);
	if (g->host)
		return 0;
	virtio_device_fini(&g->vdev);
	return -ENOMEM;
}

static int serve_on(struct loop *loop, struct scsi_port *port, int sock)
{
	struct guest *g = calloc(1, sizeof(*g));
	int r = g ? make_controller(g, port, loop) : -ENOMEM;

	if (!r) {
		user_serve_init(&g->serve, &g->vdev);
		user_serve_run(&g->serve, sock);
		if (g->serve.wrong)
			log_warn("%s: its process %s", loop_name(loop), g->serve.wrong);
		scsi_host_destroy(g->host);
		virtio_device_fini(&g->vdev);
	}
	free(g);
	return r;
}

static int send_lines(void *arg)
{
	log_send(*(int *)arg);
	return 0;
}

void shared_lun_serve(struct shared_initiator *initiator, int sock, int ear)
{
	struct loop *loop;
	char name[16];
	int r;

	snprintf(name, sizeof(name), "guest%u", initiator->port.id);
	loop = loop_create(name);
	r = loop ? loop_start(loop) : -errno;
	if (!r) {
		loop_call(loop, send_lines, &ear);
		r = serve_on(loop, &initiator->port, sock);
		loop_join(loop);
	}
	if (r < 0)
		log_err("%s: cannot be served: %s", name, strerror(-r));
	if (loop)
		loop_destroy(loop);
}
