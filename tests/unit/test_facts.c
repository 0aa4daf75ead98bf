/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "devices/devices.h"
#include "vmm/run/facts.h"

Suite *facts_suite(void);

static json_t *object;

static void tell_all(const struct device *dev, struct device_facts *to)
{
	static const uint64_t numbers[] = { 3, 1, 2 };

	to->text(to, "text", "a \"word\"");
	to->text(to, "bytes", "\xff!"); /* a file's name may be anything */
	to->number(to, "number", 1ull << 40);
	to->numbers(to, "numbers", numbers, 3);
	to->numbers(to, "none", numbers, 0);
	to->text(to, "of", dev->id);
}

static int count(struct device *dev, struct device_facts *to)
{
	(void)dev;
	to->number(to, "reads", 7);
	return 0;
}

static int count_nothing(struct device *dev, struct device_facts *to)
{
	(void)dev, (void)to;
	return -EIO;
}

static const struct device_class silent = { .name = "silent" };
static const struct device_class talks = { .name = "talks", .facts = tell_all, .counters = count };
static const struct device_class fails = { .name = "fails", .counters = count_nothing };

static struct device device(const struct device_class *class)
{
	return (struct device){ .class = class, .id = "d0" };
}

static void set_up(void)
{
	object = json_object();
}

static void tear_down(void)
{
	json_decref(object);
}

static void check(const char *wanted)
{
	char *text = json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER);

	ck_assert_str_eq(text, wanted);
	free(text);
}

START_TEST(names_come_from_all)
{
	struct device dev = device(&silent);

	ck_assert_int_eq(facts_add(object, &dev, facts_id), 0);
	check("{\"id\":\"d0\"}");
}
END_TEST

START_TEST(all_kinds)
{
	struct device dev = device(&talks);

	ck_assert_int_eq(facts_add(object, &dev, facts_live), 0);
	check("{\"text\":\"a \\\"word\\\"\",\"bytes\":\"\xef\xbf\xbd!\",\"number\":1099511627776,"
	      "\"numbers\":[3,1,2],\"none\":[],\"of\":\"d0\"}");
}
END_TEST

/* What one function tells comes behind what another one has told. */
START_TEST(one_after_the_other)
{
	struct device dev = device(&talks);

	ck_assert_int_eq(facts_add(object, &dev, facts_id), 0);
	ck_assert_int_eq(facts_add(object, &dev, facts_counters), 0);
	check("{\"id\":\"d0\",\"reads\":7}");
}
END_TEST

START_TEST(nothing_to_tell)
{
	struct device dev = device(&silent), other = device(&fails);

	ck_assert_int_eq(facts_add(object, &dev, facts_live), -EOPNOTSUPP);
	ck_assert_int_eq(facts_add(object, &dev, facts_counters), -EOPNOTSUPP);
	ck_assert_int_eq(facts_add(object, &other, facts_counters), -EIO);
	check("{}");
}
END_TEST

Suite *facts_suite(void)
{
	Suite *s = suite_create("facts");
	TCase *tc = unit_case(s, "facts");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, names_come_from_all);
	tcase_add_test(tc, all_kinds);
	tcase_add_test(tc, one_after_the_other);
	tcase_add_test(tc, nothing_to_tell);
	return s;
}

UNIT_MAIN(facts_suite)
