/* SPDX-License-Identifier: MIT */
/*
 * What comes from a debugger, byte by byte, to a target of 64 KiB whose registers and memory are
 * real. Afterwards it has gone, and the guest's code is as it was, but for what was written to it.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/machine/gdb_stub.h"

#define CPUS 3

static const struct gdb_reg reg[] = {
	{ "a", "int64", "one", 64 }, { "b", "int32", "one", 32 }, { "c", "i387_ext", "two", 80 },
	{ 0 }
};
static const uint8_t trap[] = { 0xcc, 0x55 };

struct fuzz {
	uint8_t regs[CPUS][22], memory[65536];
	bool stopped;
};

static int get_regs(void *arg, unsigned cpu, uint8_t *regs)
{
	struct fuzz *f = arg;

	memcpy(regs, f->regs[cpu], sizeof(f->regs[cpu]));
	return 0;
}

static int set_regs(void *arg, unsigned cpu, const uint8_t *regs)
{
	struct fuzz *f = arg;

	memcpy(f->regs[cpu], regs, sizeof(f->regs[cpu]));
	return 0;
}

static int read_memory(void *arg, unsigned cpu, uint64_t addr, void *to, size_t len)
{
	struct fuzz *f = arg;

	BUG_ON(cpu >= CPUS || len > GDB_TEXT_MAX);
	if (!range_ok(addr, len, sizeof(f->memory)))
		return -EFAULT;
	memcpy(to, f->memory + addr, len);
	return 0;
}

static int write_memory(void *arg, unsigned cpu, uint64_t addr, const void *from, size_t len)
{
	struct fuzz *f = arg;

	BUG_ON(cpu >= CPUS || len > GDB_TEXT_MAX);
	if (!range_ok(addr, len, sizeof(f->memory)))
		return -EFAULT;
	memcpy(f->memory + addr, from, len);
	return 0;
}

static int check(void *arg, const struct gdb_point *point, unsigned count)
{
	(void)arg;
	BUG_ON(count > GDB_POINTS_MAX || point[count - 1].kind >= GDB_KINDS);
	return count % 5 ? 0 : -ENOSPC;
}

static int go(void *arg, const enum gdb_go *how, const struct gdb_point *point, unsigned count)
{
	struct fuzz *f = arg;

	(void)point;
	BUG_ON(how[0] > GDB_STEP || count > GDB_POINTS_MAX);
	f->stopped = false;
	return 0;
}

static int stop(void *arg)
{
	((struct fuzz *)arg)->stopped = true;
	return 0;
}

static void kill_guest(void *arg)
{
	(void)arg;
}

static void take(struct gdb_stub *s, struct gdb_packet *p, uint8_t byte)
{
	char wire[GDB_WIRE_MAX];

	switch (gdb_packet_take(p, byte)) {
	case GDB_PACKET:
		gdb_stub_packet(s, p->text, p->len);
		BUG_ON(s->len > GDB_TEXT_MAX);
		BUG_ON(gdb_packet_put(wire, s->answer, s->len) > sizeof(wire));
		break;
	case GDB_BREAK:
		gdb_stub_break(s);
		break;
	default:
		break;
	}
	if (s->runs && byte == '~')
		gdb_stub_stopped(s, p->len % CPUS, p->len % GDB_KINDS, p->sum);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct fuzz f;
	static struct gdb_stub s;
	static struct gdb_packet p;
	const struct gdb_target target = {
		.arch = "fuzz", .reg = reg, .trap = trap, .trap_len = sizeof(trap), .cpus = CPUS,
		.arg = &f, .get_regs = get_regs, .set_regs = set_regs, .read = read_memory,
		.write = write_memory, .check = check, .go = go, .stop = stop, .kill = kill_guest,
	};
	size_t i;

	memset(&f, 0, sizeof(f));
	memset(&p, 0, sizeof(p));
	gdb_stub_begin(&s, &target);
	for (i = 0; i < len && !s.left; i++)
		take(&s, &p, data[i]);
	gdb_stub_end(&s);
	BUG_ON(s.points || f.stopped);
	return 0;
}
