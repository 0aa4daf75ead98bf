/* SPDX-License-Identifier: MIT */
#include "vmm/machine/gdb.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/opt.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/gdb_packet.h"
#include "vmm/machine/gdb_stub.h"
#include "vmm/machine/machine.h"

static_assert(GDB_CPUS_MAX >= MACHINE_CPUS_MAX, "each vCPU is a thread");

#define PAGE 4096
#define OUT_MAX (256 * 1024) /* bytes that wait for a debugger that does not read */

struct gdb_cfg {
	const char *at;
	bool wait;
};

static const struct opt gdb_opts[] = {
	{ "at", OPT_STR, offsetof(struct gdb_cfg, at), .arg = "PORT|PATH",
	  .help = "a port of 127.0.0.1, or a socket" },
	{ "wait", OPT_BOOL, offsetof(struct gdb_cfg, wait), "off",
	  .help = "the guest begins when the debugger says so" },
	{ 0 }
};

struct gdb {
	struct machine *m;
	struct gdb_target target;
	struct gdb_stub stub;
	struct gdb_packet packet;
	struct arch_debug how; /* of the vCPUs that went on last */
	bool steps[GDB_CPUS_MAX];
	struct loop_source listening, stops, client; /* fd -1: not there */
	bool there;            /* a debugger */
	char wire[GDB_WIRE_MAX]; /* the last answer */
	size_t wire_len;
	char *path;            /* of the socket; NULL: none */
	dev_t dev;
	ino_t ino;
};

/* What the stub asks. */

static const struct vcpu *vcpu_of(const struct gdb *g, unsigned cpu)
{
	return &g->m->vcpu[cpu];
}

static int get_regs(void *arg, unsigned cpu, uint8_t *regs)
{
	return arch_debug_get(vcpu_of(arg, cpu), regs);
}

static int set_regs(void *arg, unsigned cpu, const uint8_t *regs)
{
	return arch_debug_set(vcpu_of(arg, cpu), regs);
}

/* Page by page, as the program sees them. */
static int move(struct gdb *g, unsigned cpu, uint64_t addr, uint8_t *bytes, size_t len, bool write)
{
	uint64_t gpa;
	size_t part;
	int r = 0;

	for (; r == 0 && len; len -= part, bytes += part, addr += part) {
		part = min_u64(len, PAGE - addr % PAGE);
		r = arch_debug_translate(vcpu_of(g, cpu), &g->m->mem, addr, &gpa);
		if (r == 0)
			r = write ? mem_write(&g->m->mem, gpa, bytes, part) :
				    mem_read(&g->m->mem, gpa, bytes, part);
	}
	return r;
}

static int read_memory(void *arg, unsigned cpu, uint64_t addr, void *to, size_t len)
{
	return move(arg, cpu, addr, to, len, false);
}

static int write_memory(void *arg, unsigned cpu, uint64_t addr, const void *from, size_t len)
{
	uint8_t bytes[GDB_TEXT_MAX];

	if (len > sizeof(bytes))
		return -E2BIG;
	memcpy(bytes, from, len);
	return move(arg, cpu, addr, bytes, len, true);
}

static int check(void *arg, const struct gdb_point *point, unsigned count)
{
	return arch_debug_check(vcpu_of(arg, 0), point, count);
}

/* Where it is paused by others, too, those that all go on do so when they say it. */
static void let_go(struct gdb *g, const enum gdb_go *how)
{
	unsigned i, standing = 0;

	for (i = 0; i < g->m->ncpus; i++) {
		atomic_store(&g->m->vcpu[i].debugged, false);
		standing += how[i] == GDB_STAND;
	}
	if (!standing)
		machine_release(g->m);
	for (i = 0; standing && !g->m->paused && i < g->m->ncpus; i++) {
		if (how[i] != GDB_STAND)
			vcpu_resume(&g->m->vcpu[i]);
	}
}

static int go(void *arg, const enum gdb_go *how, const struct gdb_point *point, unsigned count)
{
	struct gdb *g = arg;
	unsigned i;
	int r = 0;

	g->how = (struct arch_debug){ .on = g->there, .point = point, .points = count };
	for (i = 0; r == 0 && i < g->m->ncpus; i++) {
		struct arch_debug one = g->how;

		g->steps[i] = one.step = how[i] == GDB_STEP;
		r = arch_debug_control(vcpu_of(g, i), &one);
	}
	if (r == 0 || !g->there)
		let_go(g, how);
	return r;
}

static int stop(void *arg)
{
	struct gdb *g = arg;

	return machine_hold(g->m);
}

static void kill_guest(void *arg)
{
	struct gdb *g = arg;

	machine_end(g->m, CAUSE_QUIT);
}

/* The debugger. */

/* It goes, by itself or as it is not to be understood, and the guest runs. */
static void drop(struct gdb *g)
{
	loop_del(g->m->main_loop, &g->client);
	close(g->client.fd);
	g->client.fd = -1;
	g->there = false;
	gdb_stub_end(&g->stub);
}

/* One that does not read what it has asked for is dropped. */
static bool send_bytes(const struct gdb *g, const char *bytes, size_t len)
{
	return send(g->client.fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len;
}

static bool answer(struct gdb *g)
{
	if (g->stub.no_answer)
		return true;
	g->wire_len = gdb_packet_put(g->wire, g->stub.answer, g->stub.len);
	return send_bytes(g, g->wire, g->wire_len);
}

static bool packet(struct gdb *g)
{
	bool acks = g->stub.acks;

	gdb_stub_packet(&g->stub, g->packet.text, g->packet.len);
	return (!acks || send_bytes(g, "+", 1)) && answer(g) && !g->stub.left;
}

/* False: it is to go. */
static bool take(struct gdb *g, uint8_t byte)
{
	switch (gdb_packet_take(&g->packet, byte)) {
	case GDB_PACKET:
		return packet(g);
	case GDB_BROKEN:
		return send_bytes(g, "-", 1);
	case GDB_AGAIN:
		return send_bytes(g, g->wire, g->wire_len);
	case GDB_BREAK:
		gdb_stub_break(&g->stub);
		return answer(g);
	case GDB_NOISE:
		return false;
	case GDB_MORE:
		break;
	}
	return true;
}

static void client_ready(void *arg)
{
	struct gdb *g = arg;
	uint8_t bytes[4096];
	ssize_t n = recv(g->client.fd, bytes, sizeof(bytes), MSG_DONTWAIT), i;
	bool stays = n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));

	for (i = 0; stays && i < n; i++)
		stays = take(g, bytes[i]);
	if (!stays)
		drop(g);
}

static int begin(struct gdb *g)
{
	int r = machine_hold(g->m);

	if (r < 0)
		return r;
	g->packet = (struct gdb_packet){ 0 };
	g->wire_len = 0;
	g->there = true;
	gdb_stub_begin(&g->stub, &g->target);
	return 0;
}

static void client_comes(void *arg)
{
	struct gdb *g = arg;
	int fd = accept4(g->listening.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), room = OUT_MAX;

	if (fd < 0)
		return;
	if (g->there || begin(g) < 0) {
		close(fd);
		return;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	room = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &room, sizeof(room)); /* not of a Unix socket */
	g->client.fd = fd;
	if (loop_add(g->m->main_loop, &g->client) < 0)
		drop(g);
}

/* vCPUs that stand by themselves. */

/* The trap of an instruction that is the guest's own is the guest's: it gets it, and goes on. */
static bool is_guests(struct gdb *g, unsigned cpu, const struct arch_debug_stop *why)
{
	struct arch_debug how = g->how;

	if (!why->trap || gdb_stub_is_ours(&g->stub, why->pc))
		return false;
	how.inject = true;
	how.step = g->steps[cpu];
	if (arch_debug_control(vcpu_of(g, cpu), &how) < 0)
		return false;
	if (!g->m->paused)
		vcpu_resume(&g->m->vcpu[cpu]);
	return true;
}

/* It came to a point before KVM was told that there are none any more. */
static void forget(struct gdb *g, unsigned cpu)
{
	static const struct arch_debug off;

	arch_debug_control(vcpu_of(g, cpu), &off);
	if (!g->m->paused)
		vcpu_resume(&g->m->vcpu[cpu]);
}

/* False: it has gone on, or cannot be told of yet. */
static bool report(struct gdb *g, unsigned cpu)
{
	struct arch_debug_stop why;

	arch_debug_why(vcpu_of(g, cpu), &g->how, &why);
	if (is_guests(g, cpu, &why))
		return false;
	if (machine_hold(g->m) < 0)
		return false;
	gdb_stub_stopped(&g->stub, cpu, (enum gdb_kind)why.kind, why.addr);
	if (!answer(g))
		drop(g);
	return true;
}

/* One of them is told of; others come to the same place again. */
static void vcpu_stops(void *arg)
{
	struct gdb *g = arg;
	eventfd_t count;
	unsigned i;

	eventfd_read(g->stops.fd, &count);
	for (i = 0; g->stub.runs && i < g->m->ncpus; i++) {
		if (!atomic_exchange(&g->m->vcpu[i].debugged, false))
			continue;
		if (!g->there)
			forget(g, i);
		else if (report(g, i))
			return;
	}
}

/* The socket. */

static int failed(const char *at, int err)
{
	log_err("--gdb %s: %s", at, strerror(err));
	return -err;
}

/* 0: it is a path. False: it is a number, and no port. */
static bool port_of(const char *at, unsigned long *port)
{
	char *end;

	*port = 0;
	if (at[strspn(at, "0123456789")])
		return true;
	*port = strtoul(at, &end, 10);
	return *port && *port <= UINT16_MAX;
}

/* Free it with the text that it is cut from. */
static int parse(const char *text, struct gdb_cfg *cfg, char **copy)
{
	unsigned long port;
	int r;

	*cfg = (struct gdb_cfg){ 0 };
	*copy = strdup(text);
	if (!*copy)
		return -ENOMEM;
	r = opt_parse(gdb_opts, cfg, "--gdb", "at", *copy);
	if (r == 0 && (!cfg->at || !port_of(cfg->at, &port))) {
		log_err("--gdb %s: a port, 1 to 65535, or a path is wanted, as in --gdb 1234 or "
			"--gdb ./gdb,wait=on", text);
		r = -EUSAGE;
	}
	return r;
}

int gdb_check(const char *text)
{
	struct gdb_cfg cfg;
	char *copy;
	int r;

	if (!text)
		return 0;
	r = parse(text, &cfg, &copy);
	free(copy);
	return r;
}

static int listen_at_port(struct gdb *g, uint16_t port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int one = 1;

	g->listening.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (g->listening.fd < 0)
		return -errno;
	setsockopt(g->listening.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	return bind(g->listening.fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
}

/* Its owner's from the start; what is there already stays. */
static int listen_at_path(struct gdb *g, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct stat st;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	g->listening.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (g->listening.fd < 0 || fchmod(g->listening.fd, 0600) < 0 ||
	    bind(g->listening.fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	g->path = strdup(path);
	if (!g->path || lstat(path, &st) < 0)
		return -ENOMEM;
	g->dev = st.st_dev;
	g->ino = st.st_ino;
	return 0;
}

static int listen_at(struct gdb *g, const char *at)
{
	unsigned long port;
	int r;

	port_of(at, &port);
	r = port ? listen_at_port(g, (uint16_t)port) : listen_at_path(g, at);
	if (r == 0 && listen(g->listening.fd, 1) < 0)
		r = -errno;
	if (r == 0)
		r = loop_add(g->m->main_loop, &g->listening);
	return r < 0 ? failed(at, -r) : 0;
}

static int start(struct gdb *g, const struct gdb_cfg *cfg)
{
	static const struct arch_debug off;
	unsigned i;
	int r = arch_debug_control(vcpu_of(g, 0), &off);

	if (r < 0) {
		log_err("--gdb %s: this machine's KVM cannot debug guests: %s; Linux 6.10 can on "
			"every architecture", cfg->at, strerror(-r));
		return r;
	}
	g->stops.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (g->stops.fd < 0)
		return failed(cfg->at, errno);
	r = loop_add(g->m->main_loop, &g->stops);
	if (r < 0)
		return failed(cfg->at, -r);
	for (i = 0; i < g->m->ncpus; i++)
		g->m->vcpu[i].debug_fd = g->stops.fd;
	r = listen_at(g, cfg->at);
	/* There are no threads yet: they rest as soon as they begin. */
	if (r == 0 && cfg->wait)
		r = machine_hold(g->m);
	return r;
}

static struct gdb *make(struct machine *m)
{
	struct gdb *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->m = m;
	g->target = (struct gdb_target){
		.arch = arch_debug_name, .reg = arch_debug_regs, .trap = arch_debug_trap,
		.trap_len = arch_debug_trap_len, .cpus = m->ncpus, .arg = g,
		.get_regs = get_regs, .set_regs = set_regs, .read = read_memory,
		.write = write_memory, .check = check, .go = go, .stop = stop,
		.kill = kill_guest,
	};
	g->listening = (struct loop_source){ .fd = -1, .fn = client_comes, .arg = g };
	g->stops = (struct loop_source){ .fd = -1, .fn = vcpu_stops, .arg = g };
	g->client = (struct loop_source){ .fd = -1, .fn = client_ready, .arg = g };
	return g;
}

int gdb_create(struct gdb **gdb, struct machine *m, const char *text)
{
	struct gdb_cfg cfg;
	char *copy;
	int r;

	*gdb = NULL;
	if (!text)
		return 0;
	r = parse(text, &cfg, &copy);
	if (r == 0) {
		*gdb = make(m);
		r = *gdb ? start(*gdb, &cfg) : -ENOMEM;
	}
	if (r < 0) {
		gdb_destroy(*gdb);
		*gdb = NULL;
	}
	free(copy);
	return r;
}

static void close_source(struct gdb *g, struct loop_source *src)
{
	if (src->fd < 0)
		return;
	loop_del(g->m->main_loop, src);
	close(src->fd);
}

void gdb_destroy(struct gdb *g)
{
	struct stat st;

	if (!g)
		return;
	if (g->there)
		send_bytes(g, "$W00#b7", 7); /* the guest has ended */
	close_source(g, &g->client);
	close_source(g, &g->listening);
	close_source(g, &g->stops);
	if (g->ino && lstat(g->path, &st) == 0 && st.st_dev == g->dev && st.st_ino == g->ino)
		unlink(g->path);
	free(g->path);
	free(g);
}
