/* SPDX-License-Identifier: MIT */
/* A target of two vCPUs with three registers, and 256 bytes of memory. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/util.h"
#include "vmm/machine/gdb_stub.h"

Suite *gdb_stub_suite(void);

#define CPUS 2
#define BYTES 14 /* of registers */

static uint8_t regs[CPUS][BYTES], memory[256];
static enum gdb_go how[CPUS];
static unsigned goes, stops, kills, hard;
static int error; /* of all functions */
static struct gdb_stub s;

static int get_regs(void *arg, unsigned cpu, uint8_t *to)
{
	ck_assert_ptr_eq(arg, memory);
	memcpy(to, regs[cpu], BYTES);
	return error;
}

static int set_regs(void *arg, unsigned cpu, const uint8_t *from)
{
	(void)arg;
	if (!error)
		memcpy(regs[cpu], from, BYTES);
	return error;
}

static int read_memory(void *arg, unsigned cpu, uint64_t addr, void *to, size_t len)
{
	(void)arg;
	(void)cpu;
	if (!range_ok(addr, len, sizeof(memory)))
		return -EFAULT;
	memcpy(to, memory + addr, len);
	return 0;
}

static int write_memory(void *arg, unsigned cpu, uint64_t addr, const void *from, size_t len)
{
	(void)arg;
	(void)cpu;
	if (!range_ok(addr, len, sizeof(memory)))
		return -EFAULT;
	memcpy(memory + addr, from, len);
	return 0;
}

static int check(void *arg, const struct gdb_point *point, unsigned count)
{
	unsigned n = 0;

	(void)arg;
	while (count--)
		n += point[count].kind != GDB_SOFT;
	return n > 2 ? -ENOSPC : error;
}

static int go(void *arg, const enum gdb_go *as, const struct gdb_point *point, unsigned count)
{
	unsigned i;

	(void)arg;
	memcpy(how, as, sizeof(how));
	for (i = hard = 0; i < count; i++)
		hard += point[i].kind != GDB_SOFT;
	goes++;
	return error;
}

static int stop(void *arg)
{
	(void)arg;
	stops++;
	return error;
}

static void kill_guest(void *arg)
{
	(void)arg;
	kills++;
}

static const struct gdb_reg reg[] = {
	{ "a", "int64", "one", 64 }, { "b", "int32", "one", 32 }, { "c", "int16", "two", 16 }, { 0 }
};
static const uint8_t trap[] = { 0xcc };

static const struct gdb_target target = {
	.arch = "unit", .reg = reg, .trap = trap, .trap_len = 1, .cpus = CPUS, .arg = memory,
	.get_regs = get_regs, .set_regs = set_regs, .read = read_memory, .write = write_memory,
	.check = check, .go = go, .stop = stop, .kill = kill_guest,
};

static void set_up(void)
{
	unsigned i;

	for (i = 0; i < BYTES; i++) {
		regs[0][i] = i;
		regs[1][i] = 0xa0 + i;
	}
	for (i = 0; i < sizeof(memory); i++)
		memory[i] = i;
	goes = stops = kills = hard = 0;
	error = 0;
	gdb_stub_begin(&s, &target);
}

static const char *ask(const char *text)
{
	gdb_stub_packet(&s, text, strlen(text));
	s.answer[s.len] = 0;
	return s.no_answer ? "(none)" : s.answer;
}

static void says(const char *text, const char *answer)
{
	ck_assert_str_eq(ask(text), answer);
}

static const struct {
	const char *text, *answer;
} simple[] = {
	{ "?", "T05thread:1;" },
	{ "g", "000102030405060708090a0b0c0d" },
	{ "p0", "0001020304050607" },
	{ "p1", "08090a0b" },
	{ "p2", "0c0d" },
	{ "p3", "E22" },
	{ "p", "E22" },
	{ "pffffffffffffffffff", "E22" },
	{ "P1=01020304", "OK" },
	{ "P1=010203", "E22" },
	{ "P1=0102030x", "E22" },
	{ "P1:01020304", "E22" },
	{ "P9=00", "E22" },
	{ "G00", "E22" },
	{ "m10,4", "10111213" },
	{ "mfe,2", "feff" },
	{ "mfe,3", "E14" },
	{ "mffffffffffffffff,1", "E14" },
	{ "m0,801", "E22" },
	{ "m0,0", "" },
	{ "m0", "E22" },
	{ "m,1", "E22" },
	{ "M10,2:abcd", "OK" },
	{ "M10,2:abc", "E22" },
	{ "M10,2:abxx", "E22" },
	{ "Mff,2:abcd", "E01" },
	{ "X10,0:", "OK" },
	{ "X10,2:ab", "OK" },
	{ "X10,3:ab", "E22" },
	{ "X10", "E22" },
	{ "Z0,10,1", "OK" },
	{ "Z0,100,1", "E01" },
	{ "Z5,10,1", "E22" },
	{ "Z1,10", "E22" },
	{ "Z1,10,9", "E22" },
	{ "Z2,10,8", "OK" },
	{ "z0,10,1", "OK" },
	{ "z9,10,1", "E22" },
	{ "Hg2", "OK" },
	{ "Hc-1", "OK" },
	{ "Hg3", "E22" },
	{ "Hx1", "E22" },
	{ "H", "E22" },
	{ "T1", "OK" },
	{ "T3", "E22" },
	{ "T0", "E22" },
	{ "qfThreadInfo", "m1,2" },
	{ "qsThreadInfo", "l" },
	{ "qC", "QC1" },
	{ "qThreadExtraInfo,2", "764350552031" },
	{ "qThreadExtraInfo,0", "E22" },
	{ "qSupported:multiprocess+", "PacketSize=fff;QStartNoAckMode+;qXfer:features:read+;"
				      "vContSupported+" },
	{ "qAttached", "1" },
	{ "QStartNoAckMode", "OK" },
	{ "vCont?", "vCont;c;C;s;S" },
	{ "qRcmd,696e666f2076657273696f6e", "6c756e657474650a" }, /* "info version": "lunette" */
	{ "qRcmd,696e666f", "" },
	{ "vCont", "E22" },
	{ "vCont;", "E22" },
	{ "vCont;x", "E22" },
	{ "vCont;c:7", "E22" },
	{ "vCont;c:", "E22" },
	{ "vMustReplyEmpty", "" },
	{ "qXfer:features:read:other.xml:0,10", "E00" },
	{ "qXfer:features:read:target.xml:0", "E00" },
	{ "qXfer:features:read:target.xml:99999,10", "l" },
	{ "gx", "" },
	/* There is more than belongs to them, or less. */
	{ "m10,4x", "E22" },
	{ "m10;4", "E22" },
	{ "m10,", "E22" },
	{ "m-1,1", "E22" },
	{ "M10,2", "E22" },
	{ "M10,2:", "E22" },
	{ "M10,2:abcdef", "E22" },
	{ "M10,ffffffffffffffff:ab", "E22" },
	{ "X10,ffffffffffffffff:", "E22" },
	{ "X10,2:abc", "E22" },
	{ "X,1:a", "E22" },
	{ "Z0,10,1;X1,0", "E22" },
	{ "Z0", "E22" },
	{ "Z", "E22" },
	{ "Z0,,1", "E22" },
	{ "Zffffffffffffffff,10,1", "E22" },
	{ "Z0,ffffffffffffffff,1", "E01" },
	{ "z", "E22" },
	{ "z2,10,8", "OK" },
	{ "Hg1x", "E22" },
	{ "Hg", "E22" },
	{ "Hg-2", "E22" },
	{ "Hgffffffffffffffffff", "E22" },
	{ "T", "E22" },
	{ "T1x", "E22" },
	{ "Tp1.1", "E22" },
	{ "qThreadExtraInfo,", "E22" },
	{ "qThreadExtraInfo,1,1", "E22" },
	{ "qXfer:features:read:target.xml:0,10,", "E00" },
	{ "qXfer:features:read:", "E00" },
	{ "qXfer:features:read:target.xml:ffffffffffffffff,ffffffffffffffff", "l" },
	{ "P", "E22" },
	{ "P=", "E22" },
	{ "P0=", "E22" },
	{ "Pffffffffffffffff=00", "E22" },
	{ "p0x", "E22" },
	{ "G", "E22" },
	{ "G000102030405060708090a0b0c0dxx", "E22" },
	{ "G000102030405060708090a0b0cxx", "E22" },
	{ "c100", "" },
	{ "C", "(none)" },
	{ "C05;100", "E22" },
	{ "Cxx", "E22" },
	{ "S05x", "E22" },
	{ "vCont;c:1x", "E22" },
	{ "vCont;C", "E22" },
	{ "vCont;C:1", "E22" },
	{ "vCont;;c", "E22" },
	{ "vCont;c:-1;", "E22" },
	{ "vContx", "E22" },
	{ "vCont;c:ffffffffffffffffff", "E22" },
	{ "", "" },
	{ "!", "" },
};

START_TEST(answers)
{
	says(simple[_i].text, simple[_i].answer);
	ck_assert_uint_eq(goes, s.no_answer);
}
END_TEST

START_TEST(registers_of_each)
{
	says("Hg2", "OK");
	says("p2", "acad");
	says("P0=1122334455667788", "OK");
	ck_assert_uint_eq(regs[1][0], 0x11);
	ck_assert_uint_eq(regs[1][8], 0xa8);
	ck_assert_uint_eq(regs[0][0], 0);
	says("G0102030405060708090a0b0c0d0e", "OK");
	ck_assert_uint_eq(regs[1][13], 14);
	error = -EIO;
	says("g", "E01");
	says("P0=1122334455667788", "E22");
}
END_TEST

START_TEST(memory_is_written)
{
	says("M10,2:abcd", "OK");
	ck_assert_uint_eq(memory[0x10], 0xab);
	ck_assert_uint_eq(memory[0x11], 0xcd);
	gdb_stub_packet(&s, "X20,3:\0#x", 9);
	ck_assert_mem_eq(memory + 0x20, "\0#x", 3);
}
END_TEST

START_TEST(soft_breakpoints)
{
	says("Z0,10,1", "OK");
	says("Z0,10,1", "OK");
	ck_assert_uint_eq(memory[0x10], 0xcc);
	ck_assert(gdb_stub_is_ours(&s, 0x10));
	ck_assert(!gdb_stub_is_ours(&s, 0x11));
	says("z0,10,1", "OK");
	ck_assert_uint_eq(memory[0x10], 0x10);
	ck_assert(!gdb_stub_is_ours(&s, 0x10));
}
END_TEST

START_TEST(as_many_as_there_are)
{
	char text[32];
	unsigned i;

	says("Z1,1,1", "OK");
	says("Z2,8,8", "OK");
	says("Z4,10,8", "E01");
	for (i = 0; i < GDB_POINTS_MAX - 2; i++) {
		snprintf(text, sizeof(text), "Z0,%x,1", 0x40 + i);
		says(text, "OK");
	}
	says("Z0,f0,1", "E01");
	says("z1,1,1", "OK");
	says("Z0,f0,1", "OK");
}
END_TEST

static const struct {
	const char *text;
	enum gdb_go how[CPUS];
} going[] = {
	{ "c", { GDB_RUN, GDB_RUN } },
	{ "C05", { GDB_RUN, GDB_RUN } },
	{ "s", { GDB_STEP, GDB_STAND } },
	{ "vCont;c", { GDB_RUN, GDB_RUN } },
	{ "vCont;s:1;c", { GDB_STEP, GDB_RUN } },
	{ "vCont;c:2", { GDB_STAND, GDB_RUN } },
	{ "vCont;C05:1;S05:2", { GDB_RUN, GDB_STEP } },
	{ "vCont;s:-1", { GDB_STEP, GDB_STEP } },
};

START_TEST(goes_on)
{
	says("Z1,10,1", "OK");
	says(going[_i].text, "(none)");
	ck_assert_uint_eq(goes, 1);
	ck_assert_mem_eq(how, going[_i].how, sizeof(how));
	ck_assert_uint_eq(hard, 1);
	says("g", "(none)"); /* nobody knows */
	gdb_stub_stopped(&s, 1, GDB_SOFT, 0);
	ck_assert_str_eq(s.answer, "T05thread:2;");
	ck_assert(!s.no_answer);
	says("qC", "QC2");
	gdb_stub_stopped(&s, 0, GDB_WRITE, 0xffff800000000010);
	ck_assert_str_eq(s.answer, "T05watch:ffff800000000010;thread:1;");
	says("?", "T05watch:ffff800000000010;thread:1;");
}
END_TEST

START_TEST(cannot_go_on)
{
	error = -EIO;
	says("c", "E01");
	error = 0;
	says("g", "000102030405060708090a0b0c0d");
}
END_TEST

START_TEST(interrupted)
{
	gdb_stub_break(&s); /* it stands anyhow */
	ck_assert(s.no_answer);
	ck_assert_uint_eq(stops, 0);
	says("c", "(none)");
	gdb_stub_break(&s);
	ck_assert_str_eq(s.answer, "T02thread:1;");
	ck_assert_uint_eq(stops, 1);
	says("c", "(none)");
	error = -EBUSY;
	gdb_stub_break(&s);
	ck_assert(s.no_answer && s.runs);
}
END_TEST

/* What it has changed in the guest's code is as before. */
START_TEST(leaves)
{
	says("Z0,10,1", "OK");
	says("Z0,20,1", "OK");
	if (_i)
		says("c", "(none)");
	else
		says("D", "OK");
	gdb_stub_end(&s);
	ck_assert_uint_eq(stops, _i);
	ck_assert_uint_eq(memory[0x10], 0x10);
	ck_assert_uint_eq(memory[0x20], 0x20);
	ck_assert_uint_eq(goes, 1 + _i);
	ck_assert_int_eq(how[1], GDB_RUN);
	ck_assert_uint_eq(s.left, !_i);
}
END_TEST

/* Something else is there now, as after a reset: it stays. */
START_TEST(trap_is_gone)
{
	says("Z0,10,1", "OK");
	memory[0x10] = 0x90;
	says("z0,10,1", "OK");
	ck_assert_uint_eq(memory[0x10], 0x90);
}
END_TEST

/* They do not come to rest: the guest's code is as before all the same. */
START_TEST(leaves_what_does_not_stop)
{
	says("Z0,10,1", "OK");
	says("c", "(none)");
	error = -EBUSY;
	gdb_stub_end(&s);
	ck_assert_uint_eq(stops, 1);
	ck_assert_uint_eq(goes, 1);
	ck_assert(s.runs && !s.points);
}
END_TEST

/* Whatever bytes they are: no more than the table has, and nothing out of bounds. */
START_TEST(any_bytes)
{
	static const char begins[] = "?gGpPmMXZzvcCsSHTqQDk!";
	uint32_t n = 12345 + (uint32_t)_i;
	char text[GDB_TEXT_MAX + 1];
	unsigned i, tries;
	size_t len;

	for (tries = 0; tries < 20000; tries++) {
		n = n * 1103515245 + 12345;
		len = n >> 16 & 31;
		for (i = 0; i < len; i++) {
			n = n * 1103515245 + 12345;
			text[i] = n >> 30 ? "0123456789abcdef,:;=-x\0p"[(n >> 16) % 24] :
					    (char)(n >> 16);
		}
		text[0] = begins[n % (sizeof(begins) - 1)];
		text[len] = 0;
		gdb_stub_packet(&s, text, len);
		ck_assert_uint_le(s.len, GDB_TEXT_MAX);
		ck_assert_uint_le(s.points, GDB_POINTS_MAX);
		ck_assert_uint_lt(s.cpu, CPUS);
		if (s.runs)
			gdb_stub_stopped(&s, n >> 8 & 1, GDB_SOFT, 0);
	}
}
END_TEST

START_TEST(killed)
{
	says(_i ? "k" : "vKill;1", "OK");
	ck_assert_uint_eq(kills, 1);
	ck_assert(s.left);
}
END_TEST

/* In parts of any size it is the same document. */
START_TEST(description)
{
	char xml[GDB_XML_MAX] = "", text[64];
	size_t at = 0;

	do {
		snprintf(text, sizeof(text), "qXfer:features:read:target.xml:%zx,%x", at, 7);
		ask(text);
		strcat(xml, s.answer + 1);
		at += s.len - 1;
	} while (s.answer[0] == 'm');
	ck_assert_int_eq(s.answer[0], 'l');
	ck_assert_str_eq(xml, "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">"
			 "<target><architecture>unit</architecture><feature name=\"one\">"
			 "<reg name=\"a\" bitsize=\"64\" type=\"int64\"/>"
			 "<reg name=\"b\" bitsize=\"32\" type=\"int32\"/></feature>"
			 "<feature name=\"two\"><reg name=\"c\" bitsize=\"16\" type=\"int16\"/>"
			 "</feature></target>");
}
END_TEST

Suite *gdb_stub_suite(void)
{
	Suite *suite = suite_create("gdb_stub");
	TCase *tc = unit_case(suite, "gdb_stub");

	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_add_loop_test(tc, answers, 0, ARRAY_SIZE(simple));
	tcase_add_test(tc, registers_of_each);
	tcase_add_test(tc, memory_is_written);
	tcase_add_test(tc, soft_breakpoints);
	tcase_add_test(tc, as_many_as_there_are);
	tcase_add_loop_test(tc, goes_on, 0, ARRAY_SIZE(going));
	tcase_add_test(tc, cannot_go_on);
	tcase_add_test(tc, interrupted);
	tcase_add_loop_test(tc, leaves, 0, 2);
	tcase_add_test(tc, trap_is_gone);
	tcase_add_test(tc, leaves_what_does_not_stop);
	tcase_add_loop_test(tc, any_bytes, 0, 3);
	tcase_add_loop_test(tc, killed, 0, 2);
	tcase_add_test(tc, description);
	return suite;
}

UNIT_MAIN(gdb_stub_suite)
