/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <string.h>

#include "vmm/core/util.h"
#include "vmm/machine/gdb_packet.h"

Suite *gdb_packet_suite(void);

static struct gdb_packet p;

static void set_up(void)
{
	memset(&p, 0, sizeof(p));
}

/* What the last byte is; those before it are nothing. */
static enum gdb_got take(const char *bytes, size_t len)
{
	size_t i;

	for (i = 0; i + 1 < len; i++)
		ck_assert_int_eq(gdb_packet_take(&p, (uint8_t)bytes[i]),
				 i && !strncmp(bytes, "$g#67", i + 1) && i == 4 ? GDB_PACKET :
										 GDB_MORE);
	return gdb_packet_take(&p, (uint8_t)bytes[i]);
}

static const struct {
	const char *bytes;
	enum gdb_got got;
	const char *text; /* NULL: of no interest */
} comes[] = {
	{ "$g#67", GDB_PACKET, "g" },
	{ "$#00", GDB_PACKET, "" },
	{ "+++$m10,4#2e", GDB_PACKET, "m10,4" },
	{ "$X0,1:}\x03#9f", GDB_PACKET, "X0,1:#" },
	{ "$gabc$g#67", GDB_PACKET, "g" },
	{ "$OK#9A", GDB_PACKET, "OK" },
	{ "$g#68", GDB_BROKEN, NULL },
	{ "$g#x7", GDB_BROKEN, NULL },
	{ "$g#6", GDB_MORE, NULL },
	{ "\003", GDB_BREAK, NULL },
	{ "-", GDB_AGAIN, NULL },
	{ "+G", GDB_NOISE, NULL }, /* "GET / HTTP/1.1" */
	{ "$g#67\n", GDB_NOISE, NULL },
	{ "$g#670", GDB_NOISE, NULL },
};

START_TEST(incoming)
{
	ck_assert_int_eq(take(comes[_i].bytes, strlen(comes[_i].bytes)), comes[_i].got);
	if (!comes[_i].text)
		return;
	ck_assert_str_eq(p.text, comes[_i].text);
	ck_assert_uint_eq(p.len, strlen(comes[_i].text));
}
END_TEST

/* What is in the text is no interruption. */
START_TEST(binary)
{
	ck_assert_int_eq(take("$X\003\0-#c3", 8), GDB_BROKEN);
	ck_assert_int_eq(take("$X\003\0-#88", 8), GDB_PACKET);
	ck_assert_uint_eq(p.len, 4);
	ck_assert_mem_eq(p.text, "X\003\0-", 4);
}
END_TEST

/* Too long, and then another one. */
START_TEST(too_long)
{
	unsigned i;

	gdb_packet_take(&p, '$');
	for (i = 0; i < 3 * GDB_TEXT_MAX; i++)
		ck_assert_int_eq(gdb_packet_take(&p, 'a'), GDB_MORE);
	ck_assert_int_eq(take("#00", 3), GDB_BROKEN);
	ck_assert_int_eq(take("$g#67", 5), GDB_PACKET);
}
END_TEST

START_TEST(there_and_back)
{
	char text[256], wire[GDB_WIRE_MAX];
	size_t n;
	unsigned i;

	for (i = 0; i < 256; i++)
		text[i] = (char)i;
	n = gdb_packet_put(wire, text, sizeof(text));
	ck_assert_uint_eq(n, 256 + 4 + 4);
	ck_assert_int_eq(take(wire, n), GDB_PACKET);
	ck_assert_uint_eq(p.len, sizeof(text));
	ck_assert_mem_eq(p.text, text, sizeof(text));
	ck_assert_uint_eq(gdb_packet_put(wire, "OK", 2), 6);
	ck_assert_mem_eq(wire, "$OK#9a", 6);
}
END_TEST

START_TEST(hex)
{
	uint8_t bytes[3] = { 0, 0xa5, 0xff };
	char text[7];

	ck_assert_uint_eq(gdb_put_hex(text, bytes, 3), 6);
	ck_assert_str_eq(text, "00a5ff");
	memset(bytes, 1, 3);
	ck_assert(gdb_get_hex("00A5ff", bytes, 3));
	ck_assert_uint_eq(bytes[1], 0xa5);
	ck_assert(!gdb_get_hex("00a", bytes, 2));
	ck_assert(!gdb_get_hex("0x", bytes, 1));
	ck_assert(gdb_get_hex("", bytes, 0));
}
END_TEST

START_TEST(numbers)
{
	const char *text = "ffffffffffffffff,";
	uint64_t n;

	ck_assert(gdb_number(&text, &n));
	ck_assert_uint_eq(n, UINT64_MAX);
	ck_assert_int_eq(*text, ',');
	ck_assert(!gdb_number(&text, &n));
	text = "10000000000000000";
	ck_assert(!gdb_number(&text, &n));
	text = "";
	ck_assert(!gdb_number(&text, &n));
}
END_TEST

Suite *gdb_packet_suite(void)
{
	Suite *s = suite_create("gdb_packet");
	TCase *tc = unit_case(s, "gdb_packet");

	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_add_loop_test(tc, incoming, 0, ARRAY_SIZE(comes));
	tcase_add_test(tc, binary);
	tcase_add_test(tc, too_long);
	tcase_add_test(tc, there_and_back);
	tcase_add_test(tc, hex);
	tcase_add_test(tc, numbers);
	return s;
}

UNIT_MAIN(gdb_packet_suite)
