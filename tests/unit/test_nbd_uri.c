/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "devices/block/nbd_uri.h"
#include "tests/lib/stderr.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"

Suite *nbd_uri_suite(void);

#define END "\"reconnect-delay\":60,\"discard\":\"unmap\"}"
#define TCP(host, port) "{\"driver\":\"nbd\",\"server\":{\"host\":\"" host "\",\"port\":\"" port \
			"\",\"type\":\"inet\"},"
#define UNIX(path) "{\"driver\":\"nbd\",\"server\":{\"path\":\"" path "\",\"type\":\"unix\"},"

static const struct {
	const char *text, *json;
} rows[] = {
	{ "nbd://host", TCP("host", "10809") END },
	{ "nbd://host/", TCP("host", "10809") END },
	{ "nbd://host:1234/a/b", TCP("host", "1234") "\"export\":\"a/b\"," END },
	{ "nbd://[::1]:1/x", TCP("::1", "1") "\"export\":\"x\"," END },
	{ "nbd://10.0.2.2/a%22%20%5c%0a", TCP("10.0.2.2", "10809")
	  "\"export\":\"a\\\" \\\\\\u000a\"," END },
	{ "nbd+unix:///?socket=/run/x.sock", UNIX("/run/x.sock") END },
	{ "nbd+unix:///e?socket=x%25", UNIX("x%") "\"export\":\"e\"," END },
};

START_TEST(as_json)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	ck_assert(nbd_uri_is_one(rows[_i].text));
	ck_assert_int_eq(nbd_uri_check(rows[_i].text), 0);
	nbd_uri_put(rows[_i].text, out);
	fclose(out);
	ck_assert_str_eq(text, rows[_i].json);
	free(text);
}
END_TEST

static const char *const wrong[] = {
	"nbd://", "nbd:///x", "nbd://:10809", "nbd://h:", "nbd://h:99999999", "nbd://h:1x/e",
	"nbd://[::1", "nbd://h/e?tls=on", "nbd+unix://", "nbd+unix:///e", "nbd+unix:///?socket=",
	"nbd+unix:///e?path=x", "nbd+unix:///e?socket=x&y", "nbd://h/%4", "nbd://h/%zz",
	"nbd://h/%00",
};

START_TEST(is_no_place)
{
	struct stderr_text said;

	stderr_begin(&said);
	ck_assert_int_eq(nbd_uri_check(wrong[_i]), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "[/EXPORT] or nbd+unix:///"));
}
END_TEST

START_TEST(something_else)
{
	ck_assert(!nbd_uri_is_one("disk.img"));
	ck_assert(!nbd_uri_is_one("nbd:localhost:10809"));
	ck_assert(!nbd_uri_is_one("./nbd://h"));
}
END_TEST

Suite *nbd_uri_suite(void)
{
	Suite *s = suite_create("nbd_uri");
	TCase *tc = unit_case(s, "nbd_uri");

	tcase_add_loop_test(tc, as_json, 0, ARRAY_SIZE(rows));
	tcase_add_loop_test(tc, is_no_place, 0, ARRAY_SIZE(wrong));
	tcase_add_test(tc, something_else);
	return s;
}

UNIT_MAIN(nbd_uri_suite)
