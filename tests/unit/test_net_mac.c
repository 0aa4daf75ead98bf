/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/net_mac.h"
#include "tests/lib/stderr.h"
#include "vmm/core/fail.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"

Suite *net_mac_suite(void);

static struct stderr_text said;
static uint8_t mac[NET_MAC_LEN];

START_TEST(as_it_is_given)
{
	static const uint8_t wanted[] = { 2, 0, 0, 0xab, 0xcd, 0xef };
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	ck_assert_int_eq(net_mac_choose("n0", "02:00:00:aB:cd:ef", mac), 0);
	ck_assert_mem_eq(mac, wanted, sizeof(wanted));
	net_mac_explain(mac, out);
	fclose(out);
	ck_assert_str_eq(text, "  address: 02:00:00:ab:cd:ef\n");
	free(text);
}
END_TEST

/* Locally administered, of one station, and not twice the same. */
START_TEST(by_chance)
{
	uint8_t other[NET_MAC_LEN];

	ck_assert_int_eq(net_mac_choose("n0", NULL, mac), 0);
	ck_assert_int_eq(net_mac_choose("n1", NULL, other), 0);
	ck_assert_uint_eq(mac[0] & 3, 2);
	ck_assert_mem_ne(mac, other, NET_MAC_LEN);
}
END_TEST

static const char *const wrong[] = {
	"", "02:00:00:00:00", "02:00:00:00:00:0", "02:00:00:00:00:011", "02:00:00:00:00:0g",
	"02:00:00:00:00:01 ", "02-00-00-00-00-01", "00:00:00:00:00:00", "03:00:00:00:00:01",
};

START_TEST(is_none)
{
	char line[200];

	stderr_begin(&said);
	ck_assert_int_eq(net_mac_choose("n0", wrong[_i], mac), -EUSAGE);
	snprintf(line, sizeof(line), "lunette: error: n0: mac=%s: an address of one station is "
		 "wanted, 02:00:00:00:00:01 for instance\n", wrong[_i]);
	ck_assert_str_eq(stderr_end(&said), line);
}
END_TEST

static void visit(void *object, struct state *s)
{
	net_mac_visit(object, s);
}

/* It comes along with a state; but one of a group is nobody's. */
START_TEST(is_restored)
{
	uint8_t other[NET_MAC_LEN] = { 2, 9, 9, 9, 9, 9 }, *data;
	size_t len;

	ck_assert_int_eq(net_mac_choose("n0", "02:01:02:03:04:05", mac), 0);
	ck_assert_int_eq(state_save(visit, mac, &data, &len), 0);
	ck_assert_uint_eq(len, NET_MAC_LEN);
	ck_assert_int_eq(state_restore(visit, other, data, len), 0);
	ck_assert_mem_eq(other, mac, NET_MAC_LEN);
	data[0] = 3;
	ck_assert_int_eq(state_restore(visit, other, data, len), -EINVAL);
	ck_assert_mem_eq(other, mac, NET_MAC_LEN);
	free(data);
}
END_TEST

Suite *net_mac_suite(void)
{
	Suite *s = suite_create("net_mac");
	TCase *tc = unit_case(s, "address");

	tcase_add_test(tc, as_it_is_given);
	tcase_add_test(tc, by_chance);
	tcase_add_loop_test(tc, is_none, 0, ARRAY_SIZE(wrong));
	tcase_add_test(tc, is_restored);
	return s;
}

UNIT_MAIN(net_mac_suite)
