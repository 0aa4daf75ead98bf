/* SPDX-License-Identifier: MIT */
/*
 * shared_disk.c - a disk that other guests have, too: a SCSI controller of its own,
 * whose one LUN is served by a process that all of them have in common
 * (shared_broker.h). Here is what the guest's own process knows of it.
 *
 * That process alone knows what is registered and reserved. So where it ends before
 * the guest does, nothing may go on as if another one could take its place: the run
 * ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/block/nbd_uri.h"
#include "devices/scsi_disk.h"
#include "devices/shared_broker.h"
#include "devices/shared_join.h"
#include "devices/vhost_user_scsi.h"
#include "vmm/core/claim.h"
#include "vmm/core/fail.h"
#include "vmm/core/loop.h"
#include "vmm/core/utf8.h"
#include "vmm/core/util.h"

struct shared_cfg {
	struct user_device_cfg base;
	struct medium_cfg medium; /* of it what has a row below */
	struct scsi_unit_cfg unit;
	const char *name, *initiator;
	struct shared_place place; /* of @name */
};

#define OPTION(name) offsetof(struct shared_cfg, name)

static const struct opt shared_opts[] = {
	{ .key = "file", .type = OPT_STR, .offset = OPTION(medium.file), .arg = "FILE",
	  .help = "image or block device; 'file=' may be left out" },
	{ .key = "shared", .type = OPT_STR, .offset = OPTION(name), .arg = "NAME",
	  .help = "all guests of this user that say this name have the disk together; the rest "
		  "has to be alike, but for initiator=" },
	{ .key = "initiator", .type = OPT_STR, .offset = OPTION(initiator), .arg = "NAME",
	  .help = "by which a guest that comes back finds what it has registered; without it a "
		  "guest is a new one each time" },
	SCSI_SERIAL_OPT(struct shared_cfg, unit),
	SCSI_UNIT_OPTS(struct shared_cfg, unit),
	MEDIUM_FORMAT_OPT(struct shared_cfg, medium),
	{ .key = "readonly", .type = OPT_BOOL, .offset = OPTION(medium.readonly), .def = "off",
	  .help = "write-protected" },
	MEDIUM_IO_OPTS(struct shared_cfg, medium),
	VIRTIO_TRANSPORT_OPT(struct shared_cfg, base.transport),
	{ 0 }
};

struct shared_disk {
	struct user_device base;
	const char *name;
	struct shared_place place;
	struct shared_hello hello;
	struct shared_answer answer;
	bool came; /* once, and no more */
	struct loop_source ear; /* for what the server says; fd -1: nothing */
	bool listens;
};

static struct shared_disk *disk_of(struct user_device *u)
{
	return container_of(u, struct shared_disk, base);
}

static const struct shared_disk *const_disk_of(const struct device *dev)
{
	return container_of(dev, struct shared_disk, base.dev);
}

static void gone(struct user_device *u)
{
	if (u->platform->disk_full)
		u->platform->disk_full(u->platform); /* the run ends, for the host's disk */
}

static int dial(struct user_device *u)
{
	struct shared_disk *s = disk_of(u);
	int sock;

	if (s->came) {
		gone(u);
		return -EPIPE;
	}
	sock = shared_join(s->name, &s->place, &s->hello, &s->answer, &s->ear.fd);
	s->came = sock >= 0;
	return sock;
}

/* What the server has to say: its own stderr nobody reads. */

static void stop_listening(struct shared_disk *s)
{
	if (s->listens)
		loop_del(s->base.loop, &s->ear);
	s->listens = false;
}

static void hear(void *arg)
{
	struct shared_disk *s = arg;
	char line[1024];
	ssize_t n = recv(s->ear.fd, line, sizeof(line) - 1, MSG_DONTWAIT);

	if (n > 0) {
		line[n] = 0;
		log_guest(&s->base.vdev.limit, "%s: its server: %s", s->base.dev.id, line);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		stop_listening(s);
	}
}

static int listen_to(void *arg)
{
	struct shared_disk *s = arg;

	s->listens = s->ear.fd >= 0 && loop_add(s->base.loop, &s->ear) == 0;
	return 0;
}

static int stop_call(void *arg)
{
	stop_listening(arg);
	return 0;
}

static void end(struct user_device *u)
{
	struct shared_disk *s = disk_of(u);

	if (u->loop)
		loop_call(u->loop, stop_call, s);
	if (s->ear.fd >= 0)
		close(s->ear.fd);
}

static int shared_ready(struct device *dev)
{
	struct user_device *u = container_of(dev, struct user_device, dev);
	int r = user_device_ready(dev);

	if (!r)
		loop_call(u->loop, listen_to, disk_of(u));
	return r;
}

static void put(char *to, size_t size, const char *text)
{
	snprintf(to, size, "%s", text ? text : "");
}

/* Which file it is, by whatever name; what is none is known by its name alone. */
static void put_node(struct shared_hello *hello, const char *file)
{
	struct stat st;

	if (nbd_uri_is_one(file) || stat(file, &st) < 0)
		return;
	if (S_ISBLK(st.st_mode)) {
		hello->rdev = st.st_rdev;
	} else {
		hello->dev = st.st_dev;
		hello->ino = st.st_ino;
	}
}

static void take(struct user_device *u, const struct user_device_cfg *base)
{
	const struct shared_cfg *cfg = container_of(base, struct shared_cfg, base);
	struct shared_disk *s = disk_of(u);
	struct shared_hello *h = &s->hello;

	s->name = cfg->name;
	s->place = cfg->place;
	s->ear = (struct loop_source){ .fd = -1, .fn = hear, .arg = s };
	u->socket = s->place.socket;
	memcpy(h->magic, SHARED_MAGIC, sizeof(h->magic));
	put(h->initiator, sizeof(h->initiator), cfg->initiator);
	put(h->file, sizeof(h->file), cfg->medium.file);
	put(h->serial, sizeof(h->serial), cfg->unit.serial);
	put(h->wwn, sizeof(h->wwn), cfg->unit.wwn);
	put_node(h, cfg->medium.file);
	h->block_size = medium_block_sizes[cfg->unit.block_size];
	h->physical_block = medium_physical_sizes[cfg->unit.physical_block];
	h->format = cfg->medium.format;
	h->engine = cfg->medium.engine;
	h->backing = cfg->medium.backing;
	h->readonly = cfg->medium.readonly;
	h->direct = cfg->medium.direct;
	h->removable = cfg->unit.removable;
	h->discard = cfg->unit.discard;
}

/* No targets to look for but the one, whose number Linux counts from 0. */
static void put_config(struct user_device *u, uint8_t *config)
{
	user_scsi_config(u, config);
	le16_put(config + offsetof(struct virtio_scsi_config, max_target), 1);
}

static const struct user_device_kind shared_kind = {
	.size = sizeof(struct shared_disk),
	USER_SCSI_KIND,
	.config = put_config,
	.once = true,
	.take = take,
	.dial = dial,
	.gone = gone,
	.lost = "; the run ends, as the server alone knew of reservations",
	.end = end,
};

static int check(const struct platform *p, const char *id, const struct shared_cfg *cfg)
{
	int r;

	if (!cfg->medium.file || !cfg->name) {
		log_err("%s: %s is missing", id, cfg->medium.file ? "shared=" : "file=");
		return -EUSAGE;
	}
	if (p->vhost == VHOST_ON) {
		log_err("%s: shared=%s: --vhost on: the kernel has no way to tell guests apart; "
			"leave one of them out", id, cfg->name);
		return -EUSAGE;
	}
	if ((cfg->unit.serial && strlen(cfg->unit.serial) > SCSI_ID_MAX) ||
	    (cfg->unit.wwn && strlen(cfg->unit.wwn) > SCSI_NAA_MAX)) {
		log_err("%s: serial= may have %d characters, wwn= %d", id, SCSI_ID_MAX,
			SCSI_NAA_MAX);
		return -EUSAGE;
	}
	r = shared_name_check(id, "shared", cfg->name);
	return r || !cfg->initiator ? r : shared_name_check(id, "initiator", cfg->initiator);
}

/* The server has another folder. */
static int absolute(const char *id, const char *file, char path[PATH_MAX + SHARED_FILE_MAX])
{
	char folder[PATH_MAX] = "";
	bool whole = *file == '/' || nbd_uri_is_one(file);

	if (!whole && !getcwd(folder, sizeof(folder))) {
		log_err("%s: the working folder: %s", id, strerror(errno));
		return -errno;
	}
	if (strlen(folder) + 1 + strlen(file) <= SHARED_FILE_MAX) {
		sprintf(path, "%s%s%s", folder, whole ? "" : "/", file);
		return 0;
	}
	log_err("%s: %.100s...: the name is longer than %d bytes", id, file, SHARED_FILE_MAX);
	return -ENAMETOOLONG;
}

/* What the run itself writes to is none of it. */
static int claim(struct platform *p, const char *file)
{
	int fd = nbd_uri_is_one(file) ? -1 : open(file, O_PATH | O_CLOEXEC), r = -ENOMEM;
	struct claim *claim;
	char *what;

	if (fd < 0 || !p->claims) {
		if (fd >= 0)
			close(fd);
		return 0; /* the server has a line about what cannot be opened */
	}
	if (asprintf(&what, "--disk %s", file) >= 0) {
		r = claim_read(p->claims, what, fd, false, &claim);
		free(what);
	}
	close(fd);
	return r;
}

static int shared_create(struct platform *p, struct device_list *list, const char *id,
			 const void *config, struct device **dev)
{
	struct shared_cfg cfg = *(const struct shared_cfg *)config;
	char path[PATH_MAX + SHARED_FILE_MAX];
	int r = check(p, id, &cfg);

	(void)list;
	if (!r)
		r = absolute(id, cfg.medium.file, path);
	if (!r)
		r = claim(p, path);
	if (!r)
		r = shared_place(cfg.name, &cfg.place);
	if (r < 0)
		return r;
	cfg.medium.file = path;
	cfg.base.socket = cfg.place.socket;
	cfg.base.queues = USER_DEVICE_AUTO;
	return user_device_create(p, id, &cfg.base, &shared_kind, dev);
}

static void shared_facts(const struct device *dev, struct device_facts *to)
{
	const struct shared_disk *s = const_disk_of(dev);

	to->text(to, "shared", s->name);
	if (*s->hello.initiator)
		to->text(to, "initiator", s->hello.initiator);
	to->text(to, "serial", s->answer.serial);
	to->text(to, "naa", s->answer.naa);
	to->text(to, "file", s->hello.file);
	to->number(to, "size", s->answer.size);
	to->text(to, "access", s->hello.readonly ? "ro" : "rw");
}

static void shared_expect(const struct device *dev, struct device_facts *to)
{
	static const uint64_t at[] = { 0, 0 };

	(void)dev;
	to->numbers(to, "lun", at, 2);
}

static void shared_explain(const struct device *dev, FILE *out)
{
	const struct shared_disk *s = const_disk_of(dev);

	utf8_line(out, "  image: %s, %llu bytes in blocks of %u, %s", s->hello.file,
		  (unsigned long long)s->answer.size, s->hello.block_size,
		  s->hello.readonly ? "write-protected" : "writable");
	fprintf(out, "  names: serial %s, NAA %s\n", s->answer.serial, s->answer.naa);
	fprintf(out, "  transport: %s, %s\n", s->base.vdev.transport->name,
		s->base.vdev.transport->help);
	fprintf(out, "  queues: %u of requests\n", s->base.queues);
	fprintf(out, "  initiator: %s\n", *s->hello.initiator ? s->hello.initiator :
		"no name: what it registers stays when it goes, and is not its own again");
	fprintf(out, "  served by: process %d (lunette " SHARED_PROGRAM " %s), to all guests that "
		"share it, %u now: what they reserve is in one place\n", (int)s->answer.server,
		s->name, s->answer.guests);
	fprintf(out, "  if that ends: the run ends, as nobody else knows of reservations\n");
}

int device_serve_shared(int argc, char **argv, int (*confine)(void))
{
	return shared_broker(argc, argv, confine);
}

const struct device_class shared_disk_class = {
	.name = "shared-disk",
	.nick = "shared",
	.help = "disk of several guests; --disk FILE,shared=NAME is one",
	.opts = shared_opts,
	.first_opt = "file",
	.cfg_size = sizeof(struct shared_cfg),
	.create = shared_create,
	.ready = shared_ready,
	.shares_memory = true,
	.facts = shared_facts,
	.expect = shared_expect,
	.virtio = user_device_vdev,
	.explain = shared_explain,
	.clean = shared_clean,
	.destroy = user_device_destroy,
};
