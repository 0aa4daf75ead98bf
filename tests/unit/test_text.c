/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/text.h"
#include "vmm/core/util.h"

Suite *text_suite(void);

#define BAD "\xef\xbf\xbd"

static void becomes(const char *text, size_t len, const char *wanted)
{
	size_t out;
	char *copy = text_utf8(text, len, &out);

	ck_assert_str_eq(copy, wanted);
	ck_assert_uint_eq(out, strlen(wanted));
	free(copy);
}

START_TEST(utf8)
{
	becomes("", 0, "");
	becomes("\xff\xfe", 2, BAD BAD);
	becomes("a\xe2\x82z", 4, "a" BAD BAD "z");
	becomes("\xe2\x82\xac\xe2\x82", 5, "\xe2\x82\xac" BAD BAD);
}
END_TEST

/* Whatever the bytes, the document can be read again. */
START_TEST(json)
{
	char bytes[256];
	json_t *value, *list = json_array();
	char *line;
	unsigned i;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)i;
	value = text_json_bytes(bytes, sizeof(bytes));
	ck_assert_ptr_nonnull(value);
	ck_assert_uint_eq(json_string_length(value), 128 + 3 * 128);
	json_array_append_new(list, value);
	json_array_append_new(list, text_json("\xc3\xa9"));
	line = json_dumps(list, 0);
	json_decref(list);
	list = json_loads(line, JSON_ALLOW_NUL, NULL);
	ck_assert_ptr_nonnull(list);
	ck_assert_str_eq(json_string_value(json_array_get(list, 1)), "\xc3\xa9");
	json_decref(list);
	free(line);
}
END_TEST

static void xml_is(const char *text, size_t len, const char *wanted)
{
	char *got;
	size_t size;
	FILE *f = open_memstream(&got, &size);

	text_xml(f, text, len);
	fclose(f);
	ck_assert_str_eq(got, wanted);
	free(got);
}

START_TEST(xml)
{
	xml_is("a<b>\"&'\t\n\r", 10, "a&lt;b&gt;&quot;&amp;'\t\n&#13;");
	xml_is("]]>", 3, "]]&gt;");
	xml_is("\0\x1b[0m\x08", 6, BAD BAD "[0m" BAD);
	xml_is("\xef\xbf\xbe\xef\xbf\xbf\xef\xbf\xbd", 9, BAD BAD BAD);
	xml_is("\xf0\x9f\x98\x80\xff", 5, "\xf0\x9f\x98\x80" BAD);
}
END_TEST

Suite *text_suite(void)
{
	Suite *s = suite_create("text");
	TCase *tc = unit_case(s, "text");

	tcase_add_test(tc, utf8);
	tcase_add_test(tc, json);
	tcase_add_test(tc, xml);
	return s;
}

UNIT_MAIN(text_suite)
