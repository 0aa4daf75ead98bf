/* SPDX-License-Identifier: MIT */
/* A named port of the console device, as /dev/virtio-ports/NAME in the guest. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/devices.h"
#include "devices/virtio_console.h"
#include "vmm/core/claim.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/platform.h"
#include "vmm/core/stream.h"
#include "vmm/core/util.h"

#define FD_MAX 65535
#define FD_NONE (FD_MAX + 1)

struct console_port {
	struct device dev;
	struct platform *platform;
	struct device *bus;
	struct console_end end;
	struct stream out; /* all zero: none */
	struct claim *reads, *writes;
};

struct port_cfg {
	const char *name, *bus, *out;
	uint32_t out_fd, in_fd;
};

static const char *const fd_words[] = { "none", NULL };

static const struct opt port_opts[] = {
	{ "name", OPT_STR, offsetof(struct port_cfg, name), .arg = "NAME",
	  .help = "what the guest finds it by" },
	{ "bus", OPT_STR, offsetof(struct port_cfg, bus), .arg = "ID",
	  .help = "the console device that it is on; the newest by default" },
	{ "out", OPT_STR, offsetof(struct port_cfg, out), .written = true, .arg = "PATH",
	  .help = "what the guest sends is written there" },
	{ "out-fd", OPT_U32, offsetof(struct port_cfg, out_fd), "none", 0, FD_MAX, fd_words,
	  .arg = "FD", .help = "or to this descriptor, which lunette has been started with" },
	{ "in-fd", OPT_U32, offsetof(struct port_cfg, in_fd), "none", 0, FD_MAX, fd_words,
	  .arg = "FD", .help = "what the guest reads; the port closes at its end" },
	{ 0 }
};

static ssize_t port_write(void *arg, const void *data, size_t len)
{
	struct console_port *p = arg;
	ssize_t n = stream_try(&p->out, data, len);

	if (n > 0 && p->platform->port_sent)
		p->platform->port_sent(p->platform->port_sent_arg, p->end.name, data, n);
	return n;
}

static int check_name(const char *id, const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.";

	if (name && *name && strlen(name) <= CONSOLE_NAME_MAX && !name[strspn(name, allowed)])
		return 0;
	log_err("%s: name=%s: 1 to %d of letters, digits, '-', '_' and '.' are wanted", id,
		name ? name : "", CONSOLE_NAME_MAX);
	return -EUSAGE;
}

/* Descriptors of lunette's own, which have the same kind of number, are closed on exec. */
static int check_fd(const char *id, const char *key, int fd, int not_this_way)
{
	int flags = fcntl(fd, F_GETFD);

	if (flags < 0 || flags & FD_CLOEXEC) {
		log_err("%s: %s=%d: lunette was not given it; a shell does that by %d>FILE or "
			"%d<FILE", id, key, fd, fd, fd);
		return -EBADF;
	}
	/* A closed stdout (main.c) is an error of who writes to it, and not before. */
	if (fd > STDERR_FILENO && (fcntl(fd, F_GETFL) & O_ACCMODE) == not_this_way) {
		log_err("%s: %s=%d: is not open for that direction", id, key, fd);
		return -EBADF;
	}
	return 0;
}

/* Returns the descriptor to be written to, which is borrowed. */
static int claim_out_fd(struct console_port *p, const char *id, const char *what, int fd)
{
	int r = check_fd(id, "out-fd", fd, O_RDONLY);

	if (r == 0)
		r = claim_given(p->platform->claims, what, fd);
	return r < 0 ? r : fd;
}

/* malloc()ed. */
static char *name_of_out(const char *id, const struct port_cfg *cfg)
{
	char *what;
	int n;

	if (cfg->out)
		n = asprintf(&what, "%s: out=%s", id, cfg->out);
	else if (cfg->out_fd == STDOUT_FILENO || cfg->out_fd == STDERR_FILENO)
		return strdup(cfg->out_fd == STDOUT_FILENO ? "stdout" : "stderr");
	else
		n = asprintf(&what, "%s: out-fd=%u", id, cfg->out_fd);
	return n < 0 ? NULL : what;
}

static int open_out(struct console_port *p, const char *id, const struct port_cfg *cfg)
{
	char *what;
	int r;

	if (cfg->out && cfg->out_fd != FD_NONE) {
		log_err("%s: out= and out-fd= exclude each other", id);
		return -EUSAGE;
	}
	if (!cfg->out && cfg->out_fd == FD_NONE)
		return 0;
	what = name_of_out(id, cfg);
	if (!what)
		return -ENOMEM;
	if (cfg->out) /* opening a FIFO waits for its reader, as it does for everybody */
		r = claim_open(p->platform->claims, what, cfg->out, 0, &p->writes);
	else
		r = claim_out_fd(p, id, what, (int)cfg->out_fd);
	if (r >= 0)
		r = stream_open(&p->out, p->platform, what, r);
	if (r == 0 && cfg->out)
		stream_limit(&p->out);
	free(what);
	p->end.write = port_write;
	p->end.room = p->out.out.fd;
	return r;
}

static int claim_in(struct console_port *p, const char *id, int fd)
{
	char what[DEVICE_ID_MAX + 32];

	snprintf(what, sizeof(what), "%s: in-fd=%d", id, fd);
	return claim_read(p->platform->claims, what, fd, true, &p->reads);
}

static int open_in(struct console_port *p, const char *id, const struct port_cfg *cfg)
{
	int r;

	if (cfg->in_fd == FD_NONE)
		return 0;
	r = check_fd(id, "in-fd", cfg->in_fd, O_WRONLY);
	if (r == 0)
		r = claim_in(p, id, cfg->in_fd);
	if (r < 0)
		return r;
	p->end.in = fcntl(cfg->in_fd, F_DUPFD_CLOEXEC, 0);
	if (p->end.in < 0) {
		r = -errno;
		log_err("%s: in-fd=%u: %s", id, cfg->in_fd, strerror(-r));
	}
	return r;
}

static int find_bus(struct console_port *p, struct device_list *list, const char *id,
		    const char *bus)
{
	p->bus = device_find(list, VIRTIO_CONSOLE_CLASS, bus);
	if (p->bus)
		return 0;
	log_err("%s: bus=%s: no " VIRTIO_CONSOLE_CLASS " of this name stands before it", id,
		bus ? bus : "");
	return -EUSAGE;
}

static int join_bus(struct console_port *p, const char *id)
{
	int r = virtio_console_add(p->bus, &p->end);

	if (r == 0)
		return 0;
	log_err("%s: name=%s: %s", id, p->end.name, r == -EEXIST ?
		"another port has this name" : "the console device has no port left");
	return -EUSAGE;
}

static void close_all(struct console_port *p)
{
	if (p->end.in >= 0)
		close(p->end.in);
	stream_close(&p->out);
	claim_drop(p->reads);
	claim_drop(p->writes);
	free(p);
}

static int console_port_create(struct platform *platform, struct device_list *list, const char *id,
			       const void *config, struct device **dev)
{
	const struct port_cfg *cfg = config;
	struct console_port *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->platform = platform;
	p->end = (struct console_end){ .name = cfg->name, .in = -1, .arg = p };
	r = check_name(id, cfg->name);
	if (!r)
		r = find_bus(p, list, id, cfg->bus);
	if (!r)
		r = open_out(p, id, cfg);
	if (!r)
		r = open_in(p, id, cfg);
	if (!r)
		r = join_bus(p, id);
	if (r < 0)
		close_all(p);
	else
		*dev = &p->dev;
	return r;
}

static void console_port_destroy(struct device *dev)
{
	struct console_port *p = container_of(dev, struct console_port, dev);

	virtio_console_stop(p->bus);
	close_all(p);
}

static void console_port_expect(const struct device *dev, struct device_facts *to)
{
	to->text(to, "port", container_of(dev, struct console_port, dev)->end.name);
}

const struct device_class console_port_class = {
	.name = "console-port",
	.help = "named port of a virtio-console device, /dev/virtio-ports/NAME",
	.opts = port_opts,
	.first_opt = "name",
	.cfg_size = sizeof(struct port_cfg),
	.create = console_port_create,
	.expect = console_port_expect,
	.destroy = console_port_destroy,
};
