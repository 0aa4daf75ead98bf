/* SPDX-License-Identifier: MIT */
#include "vmm/machine/gdb_stub.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/core/util.h"

#define MEMORY_MAX (GDB_TEXT_MAX / 2) /* bytes that a packet can have as digits */
#define SIGNAL_INT 2
#define SIGNAL_TRAP 5

static void say(struct gdb_stub *s, const char *text)
{
	s->len = strlen(text);
	memcpy(s->answer, text, s->len + 1);
}

/* The numbers are nobody's. */
static void say_result(struct gdb_stub *s, int r)
{
	say(s, r < 0 ? "E01" : "OK");
}

/* Registers. */

static unsigned bytes_of(const struct gdb_reg *reg)
{
	return (reg->bits + 7) / 8;
}

static unsigned all_bytes(const struct gdb_target *t)
{
	const struct gdb_reg *reg;
	unsigned sum = 0;

	for (reg = t->reg; reg->name; reg++)
		sum += bytes_of(reg);
	return sum;
}

/* Where register @n is among them. NULL: there is none. */
static const struct gdb_reg *find_reg(const struct gdb_target *t, uint64_t n, unsigned *at)
{
	const struct gdb_reg *reg;

	*at = 0;
	for (reg = t->reg; reg->name && n; reg++, n--)
		*at += bytes_of(reg);
	return reg->name ? reg : NULL;
}

static void get_regs(struct gdb_stub *s, const char *text, size_t len)
{
	const struct gdb_target *t = s->target;
	uint8_t regs[GDB_REGS_MAX];

	(void)text;
	(void)len;
	if (t->get_regs(t->arg, s->cpu, regs) < 0)
		say(s, "E01");
	else
		s->len = gdb_put_hex(s->answer, regs, all_bytes(t));
}

static void set_regs(struct gdb_stub *s, const char *text, size_t len)
{
	const struct gdb_target *t = s->target;
	uint8_t regs[GDB_REGS_MAX];

	if (len != 2 * all_bytes(t) || !gdb_get_hex(text, regs, len / 2))
		say(s, "E22");
	else
		say_result(s, t->set_regs(t->arg, s->cpu, regs));
}

static void get_reg(struct gdb_stub *s, const char *text, size_t len)
{
	const struct gdb_target *t = s->target;
	const struct gdb_reg *reg;
	uint8_t regs[GDB_REGS_MAX];
	unsigned at;
	uint64_t n;

	(void)len;
	reg = gdb_number(&text, &n) && !*text ? find_reg(t, n, &at) : NULL;
	if (!reg || t->get_regs(t->arg, s->cpu, regs) < 0)
		say(s, "E22");
	else
		s->len = gdb_put_hex(s->answer, regs + at, bytes_of(reg));
}

static void set_reg(struct gdb_stub *s, const char *text, size_t len)
{
	const struct gdb_target *t = s->target;
	const struct gdb_reg *reg;
	uint8_t regs[GDB_REGS_MAX];
	unsigned at;
	uint64_t n;

	(void)len;
	reg = gdb_number(&text, &n) && *text == '=' ? find_reg(t, n, &at) : NULL;
	if (!reg || strlen(text + 1) != 2 * bytes_of(reg) ||
	    t->get_regs(t->arg, s->cpu, regs) < 0 ||
	    !gdb_get_hex(text + 1, regs + at, bytes_of(reg)))
		say(s, "E22");
	else
		say_result(s, t->set_regs(t->arg, s->cpu, regs));
}

/* Memory. */

/* "ADDR,LEN", of what an answer has room for. */
static bool take_range(const char **text, uint64_t *addr, uint64_t *len)
{
	return gdb_number(text, addr) && *(*text)++ == ',' && gdb_number(text, len) &&
	       *len <= MEMORY_MAX;
}

static void get_memory(struct gdb_stub *s, const char *text, size_t unused)
{
	const struct gdb_target *t = s->target;
	uint8_t bytes[MEMORY_MAX];
	uint64_t addr, len;

	(void)unused;
	if (!take_range(&text, &addr, &len) || *text)
		say(s, "E22");
	else if (t->read(t->arg, s->cpu, addr, bytes, len) < 0)
		say(s, "E14");
	else
		s->len = gdb_put_hex(s->answer, bytes, len);
}

static void set_memory(struct gdb_stub *s, const char *text, size_t unused)
{
	const struct gdb_target *t = s->target;
	uint8_t bytes[MEMORY_MAX];
	uint64_t addr, len;

	(void)unused;
	if (!take_range(&text, &addr, &len) || *text != ':' || strlen(text + 1) != 2 * len ||
	    !gdb_get_hex(text + 1, bytes, len))
		say(s, "E22");
	else
		say_result(s, t->write(t->arg, s->cpu, addr, bytes, len));
}

/* The same with bytes as they are. */
static void set_binary(struct gdb_stub *s, const char *text, size_t left)
{
	const struct gdb_target *t = s->target;
	const char *from = text;
	uint64_t addr, len;

	if (!take_range(&text, &addr, &len) || *text++ != ':' ||
	    left - (size_t)(text - from) != len)
		say(s, "E22");
	else
		say_result(s, t->write(t->arg, s->cpu, addr, text, len));
}

/* Points. */

static struct gdb_point *find_point(struct gdb_stub *s, enum gdb_kind kind, uint64_t addr)
{
	unsigned i;

	for (i = 0; i < s->points; i++) {
		if (s->point[i].kind == kind && s->point[i].addr == addr)
			return &s->point[i];
	}
	return NULL;
}

bool gdb_stub_is_ours(struct gdb_stub *s, uint64_t addr)
{
	return find_point(s, GDB_SOFT, addr);
}

/* "KIND,ADDR,LEN" */
static bool take_point(const char *text, struct gdb_point *p)
{
	uint64_t kind, len;

	if (!gdb_number(&text, &kind) || kind >= GDB_KINDS || *text++ != ',' ||
	    !gdb_number(&text, &p->addr) || *text++ != ',' || !gdb_number(&text, &len) ||
	    len > 8 || *text)
		return false;
	p->kind = (enum gdb_kind)kind;
	p->len = (unsigned)len;
	return true;
}

static int put_soft(struct gdb_stub *s, struct gdb_point *p)
{
	const struct gdb_target *t = s->target;
	int r = t->read(t->arg, s->cpu, p->addr, p->was, t->trap_len);

	return r < 0 ? r : t->write(t->arg, s->cpu, p->addr, t->trap, t->trap_len);
}

static int put_point(struct gdb_stub *s, const struct gdb_point *p)
{
	const struct gdb_target *t = s->target;
	int r;

	if (find_point(s, p->kind, p->addr))
		return 0;
	if (s->points == GDB_POINTS_MAX)
		return -ENOSPC;
	s->point[s->points] = *p;
	r = p->kind == GDB_SOFT ? put_soft(s, &s->point[s->points]) :
				  t->check(t->arg, s->point, s->points + 1);
	s->points += r == 0;
	return r;
}

static void insert(struct gdb_stub *s, const char *text, size_t len)
{
	struct gdb_point p = { 0 };

	(void)len;
	if (!take_point(text, &p))
		say(s, "E22");
	else
		say_result(s, put_point(s, &p));
}

/*
 * The memory may be gone from the guest's tables, or have something else in it, as after a reset:
 * then there is nothing to put back.
 */
static void take_out(struct gdb_stub *s, struct gdb_point *p)
{
	const struct gdb_target *t = s->target;
	uint8_t is[sizeof(p->was)];

	if (p->kind == GDB_SOFT && t->read(t->arg, s->cpu, p->addr, is, t->trap_len) == 0 &&
	    !memcmp(is, t->trap, t->trap_len))
		t->write(t->arg, s->cpu, p->addr, p->was, t->trap_len);
	*p = s->point[--s->points];
}

static void take_away(struct gdb_stub *s, const char *text, size_t len)
{
	struct gdb_point p = { 0 }, *found;

	(void)len;
	if (!take_point(text, &p)) {
		say(s, "E22");
		return;
	}
	found = find_point(s, p.kind, p.addr);
	if (found)
		take_out(s, found);
	say(s, "OK");
}

/* Going on. */

static void run(struct gdb_stub *s, const enum gdb_go *how)
{
	const struct gdb_target *t = s->target;

	if (t->go(t->arg, how, s->point, s->points) < 0) {
		say(s, "E01");
		return;
	}
	s->runs = true;
	s->no_answer = true; /* it comes when they stop */
}

/* "c" and "s", or with a signal, which a guest does not get, "C05" and "S05". */
static void go_on(struct gdb_stub *s, const char *text, enum gdb_go this, enum gdb_go others)
{
	enum gdb_go how[GDB_CPUS_MAX];
	uint64_t signal;
	unsigned i;

	if (*text && (!gdb_number(&text, &signal) || *text)) {
		say(s, "E22");
		return;
	}
	for (i = 0; i < s->target->cpus; i++)
		how[i] = i == s->cpu ? this : others;
	run(s, how);
}

static void go(struct gdb_stub *s, const char *text, size_t len)
{
	(void)len;
	go_on(s, text, GDB_RUN, GDB_RUN);
}

static void step(struct gdb_stub *s, const char *text, size_t len)
{
	(void)len;
	go_on(s, text, GDB_STEP, GDB_STAND);
}

/* A thread's number: -1 and 0 are all of them, or any. False: there is none such. */
static bool take_thread(const struct gdb_stub *s, const char **text, uint64_t *thread)
{
	if (!strncmp(*text, "-1", 2)) {
		*text += 2;
		*thread = 0;
		return true;
	}
	return gdb_number(text, thread) && *thread <= s->target->cpus;
}

/* That is all of it. */
static bool take_last_thread(const struct gdb_stub *s, const char *text, uint64_t *thread)
{
	return take_thread(s, &text, thread) && !*text;
}

/* ";c", ";s:2", ";C05:1": of the first that names a thread, or all, that is what it does. */
static bool take_action(const struct gdb_stub *s, const char **text, enum gdb_go *how)
{
	uint64_t thread = 0, signal;
	char what;
	unsigned i;

	if (*(*text)++ != ';')
		return false;
	what = *(*text)++;
	if ((what == 'C' || what == 'S') && !gdb_number(text, &signal))
		return false;
	if (!what || !strchr("cCsS", what))
		return false;
	if (**text == ':') {
		(*text)++;
		if (!take_thread(s, text, &thread))
			return false;
	}
	for (i = 0; i < s->target->cpus; i++) {
		if (how[i] == GDB_STAND && (!thread || thread == i + 1))
			how[i] = what == 'c' || what == 'C' ? GDB_RUN : GDB_STEP;
	}
	return true;
}

static void actions(struct gdb_stub *s, const char *text, size_t len)
{
	enum gdb_go how[GDB_CPUS_MAX] = { GDB_STAND };
	unsigned i, any = 0;

	(void)len;
	while (*text) {
		if (!take_action(s, &text, how)) {
			say(s, "E22");
			return;
		}
	}
	for (i = 0; i < s->target->cpus; i++)
		any += how[i] != GDB_STAND;
	if (any)
		run(s, how);
	else
		say(s, "E22");
}

/* Why it stands. */

static void stands(struct gdb_stub *s, unsigned cpu, unsigned signal, const char *more)
{
	s->runs = false;
	s->cpu = s->stopped_by = cpu;
	snprintf(s->last, sizeof(s->last), "T%02x%sthread:%x;", signal, more, cpu + 1);
	say(s, s->last);
	s->no_answer = false;
}

void gdb_stub_stopped(struct gdb_stub *s, unsigned cpu, enum gdb_kind kind, uint64_t watched)
{
	static const char *const names[GDB_KINDS] = { [GDB_WRITE] = "watch", [GDB_READ] = "rwatch",
						      [GDB_ACCESS] = "awatch" };
	char more[40] = "";

	if (names[kind])
		snprintf(more, sizeof(more), "%s:%llx;", names[kind], (unsigned long long)watched);
	stands(s, cpu, SIGNAL_TRAP, more);
}

void gdb_stub_break(struct gdb_stub *s)
{
	s->no_answer = true;
	if (s->runs && s->target->stop(s->target->arg) == 0)
		stands(s, s->stopped_by, SIGNAL_INT, "");
}

static void why(struct gdb_stub *s, const char *text, size_t len)
{
	(void)text;
	(void)len;
	say(s, s->last);
}

/* Threads. */

static void choose_thread(struct gdb_stub *s, const char *text, size_t len)
{
	uint64_t thread;

	(void)len;
	if ((*text != 'g' && *text != 'c') || !take_last_thread(s, text + 1, &thread)) {
		say(s, "E22");
		return;
	}
	if (thread)
		s->cpu = (unsigned)thread - 1;
	say(s, "OK");
}

static void is_alive(struct gdb_stub *s, const char *text, size_t len)
{
	uint64_t thread;

	(void)len;
	say(s, take_last_thread(s, text, &thread) && thread ? "OK" : "E22");
}

static void list_threads(struct gdb_stub *s, const char *text, size_t len)
{
	unsigned i;

	(void)text;
	(void)len;
	s->len = 0;
	for (i = 0; i < s->target->cpus; i++)
		s->len += (size_t)snprintf(s->answer + s->len, sizeof(s->answer) - s->len, "%c%x",
					   i ? ',' : 'm', i + 1);
}

static void this_thread(struct gdb_stub *s, const char *text, size_t len)
{
	(void)text;
	(void)len;
	s->len = (size_t)snprintf(s->answer, sizeof(s->answer), "QC%x", s->cpu + 1);
}

static void name_thread(struct gdb_stub *s, const char *text, size_t len)
{
	uint64_t thread;
	char name[16];

	(void)len;
	if (!take_last_thread(s, text, &thread) || !thread) {
		say(s, "E22");
		return;
	}
	snprintf(name, sizeof(name), "vCPU %u", (unsigned)thread - 1);
	s->len = gdb_put_hex(s->answer, (const uint8_t *)name, strlen(name));
}

/* What there is. */

static void supported(struct gdb_stub *s, const char *text, size_t len)
{
	(void)text;
	(void)len;
	s->len = (size_t)snprintf(s->answer, sizeof(s->answer), "PacketSize=%x;QStartNoAckMode+;"
				  "qXfer:features:read+;vContSupported+", GDB_TEXT_MAX - 1);
}

static void no_acks(struct gdb_stub *s, const char *text, size_t len)
{
	(void)text;
	(void)len;
	s->acks = false;
	say(s, "OK");
}

/* "target.xml:OFFSET,LENGTH" */
static void features(struct gdb_stub *s, const char *text, size_t unused)
{
	static const char file[] = "target.xml:";
	char xml[GDB_XML_MAX];
	uint64_t off, len, all;

	(void)unused;
	if (strncmp(text, file, strlen(file)) ||
	    !(text += strlen(file), gdb_number(&text, &off)) || *text++ != ',' ||
	    !gdb_number(&text, &len) || *text) {
		say(s, "E00");
		return;
	}
	gdb_describe(s->target, xml);
	all = strlen(xml);
	off = min_u64(off, all);
	len = min_u64(min_u64(len, all - off), GDB_TEXT_MAX - 1);
	s->answer[0] = off + len == all ? 'l' : 'm';
	memcpy(s->answer + 1, xml + off, len);
	s->len = len + 1;
}

/* The end. */

static void detach(struct gdb_stub *s, const char *text, size_t len)
{
	(void)text;
	(void)len;
	s->left = true;
	say(s, "OK");
}

static void kill_guest(struct gdb_stub *s, const char *text, size_t len)
{
	(void)text;
	(void)len;
	s->left = true;
	s->target->kill(s->target->arg);
	say(s, "OK");
}

/* What is always the same. By the last, "monitor info version", Linux takes threads for CPUs. */
static const char *const constants[][2] = {
	{ "vCont?", "vCont;c;C;s;S" }, { "qsThreadInfo", "l" }, { "qAttached", "1" },
	{ "qRcmd,696e666f2076657273696f6e", "6c756e657474650a" /* "lunette" */ },
};

/* THE TABLE: of those that match the first one counts. What is not here has an empty answer. */
static const struct {
	const char *begins;
	bool whole; /* nothing follows */
	void (*fn)(struct gdb_stub *s, const char *text, size_t len);
} packets[] = {
	{ "?", true, why },
	{ "g", true, get_regs },
	{ "G", false, set_regs },
	{ "p", false, get_reg },
	{ "P", false, set_reg },
	{ "m", false, get_memory },
	{ "M", false, set_memory },
	{ "X", false, set_binary },
	{ "Z", false, insert },
	{ "z", false, take_away },
	{ "vCont", false, actions },
	{ "vKill", false, kill_guest },
	{ "c", true, go }, /* no address follows: it goes on from where it stands */
	{ "C", false, go },
	{ "s", true, step },
	{ "S", false, step },
	{ "H", false, choose_thread },
	{ "T", false, is_alive },
	{ "qfThreadInfo", true, list_threads },
	{ "qC", true, this_thread },
	{ "qThreadExtraInfo,", false, name_thread },
	{ "qSupported", false, supported },
	{ "qXfer:features:read:", false, features },
	{ "QStartNoAckMode", true, no_acks },
	{ "D", false, detach },
	{ "k", true, kill_guest },
};

void gdb_stub_begin(struct gdb_stub *s, const struct gdb_target *target)
{
	*s = (struct gdb_stub){ .target = target, .acks = true };
	stands(s, 0, SIGNAL_TRAP, "");
}

void gdb_stub_packet(struct gdb_stub *s, const char *text, size_t len)
{
	size_t i, n;

	say(s, "");
	s->no_answer = s->runs; /* nothing can be said of what runs */
	for (i = 0; !s->runs && i < ARRAY_SIZE(constants); i++) {
		if (!strcmp(text, constants[i][0]))
			say(s, constants[i][1]);
	}
	for (i = 0; !s->runs && !s->len && i < ARRAY_SIZE(packets); i++) {
		n = strlen(packets[i].begins);
		if (strncmp(text, packets[i].begins, n) || (packets[i].whole && len != n))
			continue;
		packets[i].fn(s, text + n, len - n);
		return;
	}
}

/* Also where they cannot be stopped: then a vCPU that has met what is taken out tells of it. */
void gdb_stub_end(struct gdb_stub *s)
{
	enum gdb_go how[GDB_CPUS_MAX];
	unsigned i;
	bool stood = !s->runs || s->target->stop(s->target->arg) == 0;

	while (s->points)
		take_out(s, &s->point[0]);
	if (!stood)
		return;
	for (i = 0; i < s->target->cpus; i++)
		how[i] = GDB_RUN;
	s->target->go(s->target->arg, how, NULL, 0);
	s->runs = true;
}
