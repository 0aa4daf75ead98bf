/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/stderr.h"
#include "tests/lib/testbed.h"
#include "vmm/core/state.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"

Suite *devices_suite(void);

static struct stderr_text said;
static struct testbed tb;

static void set_up(void)
{
	testbed_init(&tb);
}

static void tear_down(void)
{
	device_destroy_all(&tb.devices);
	testbed_fini(&tb);
}

static int make(const char *text)
{
	return device_create(&tb.p, &tb.devices, text);
}

START_TEST(classes_are_complete)
{
	unsigned i, k;

	for (i = 0; device_classes[i]; i++) {
		const struct device_class *c = device_classes[i];
		const struct opt *o;

		ck_assert(c->name && c->help && c->create && c->destroy);
		ck_assert(!c->opts || c->cfg_size);
		ck_assert(!c->virtio_id || (c->virtio && !c->expect));
		ck_assert_uint_le(strlen(c->nick ? c->nick : c->name) + 1, DEVICE_ID_MAX);
		for (k = 0; k < i; k++)
			ck_assert_str_ne(device_classes[k]->name, c->name);
		for (o = c->opts; o && o->key; o++) {
			ck_assert_ptr_nonnull(o->help);
			ck_assert_str_ne(o->key, "id");
			ck_assert_uint_lt(o->offset, c->cfg_size);
		}
	}
	ck_assert_uint_ge(i, 7);
}
END_TEST

START_TEST(memory_is_shared_for_some)
{
	ck_assert(device_shares_memory("vhost-user-blk,socket=/run/x"));
	ck_assert(device_shares_memory("vhost-user-scsi"));
	ck_assert(device_shares_memory("vhost-user-fs,socket=/run/x,tag=work"));
	ck_assert(device_shares_memory("vhost-user-net,socket=/run/x"));
	ck_assert(!device_shares_memory("virtio-scsi"));
	ck_assert(!device_shares_memory("vhost-user-blk0"));
	ck_assert(!device_shares_memory(""));
}
END_TEST

START_TEST(ids_are_made_up)
{
	ck_assert_int_eq(make("virtio-scsi"), 0);
	ck_assert_str_eq(tb.devices.last->id, "virtio-scsi0");
	ck_assert_int_eq(make("virtio-rng,id=virtio-scsi1"), 0);
	ck_assert_int_eq(make("virtio-scsi"), 0);
	ck_assert_str_eq(tb.devices.last->id, "virtio-scsi2");
	ck_assert_int_eq(make("virtio-rng"), 0);
	ck_assert_str_eq(tb.devices.last->id, "virtio-rng0");
}
END_TEST

/* Wherever it stands, and whatever stands beside it. */
static const char *const with_id[] = {
	"virtio-scsi,id=s0",
	"virtio-scsi,id=s0,queues=2",
	"virtio-scsi,queues=2,id=s0",
	"virtio-scsi,queues=2,id=s0,queue-size=64",
};

START_TEST(id_is_taken)
{
	ck_assert_int_eq(make(with_id[_i]), 0);
	ck_assert_str_eq(tb.devices.last->id, "s0");
	ck_assert_ptr_eq(device_find(&tb.devices, "virtio-scsi", "s0"), tb.devices.last);
}
END_TEST

START_TEST(find)
{
	struct device *s0, *r0, *s1;

	ck_assert_int_eq(make("virtio-scsi,id=s0"), 0);
	s0 = tb.devices.last;
	ck_assert_int_eq(make("virtio-rng,id=r0"), 0);
	r0 = tb.devices.last;
	ck_assert_int_eq(make("virtio-scsi,id=s1"), 0);
	s1 = tb.devices.last;
	ck_assert_ptr_eq(device_find(&tb.devices, "virtio-scsi", NULL), s1);
	ck_assert_ptr_eq(device_find(&tb.devices, "virtio-scsi", "s0"), s0);
	ck_assert_ptr_eq(device_find(&tb.devices, "virtio-rng", NULL), r0);
	ck_assert_ptr_null(device_find(&tb.devices, "virtio-rng", "s0"));
	ck_assert_ptr_null(device_find(&tb.devices, "serial", NULL));
}
END_TEST

static const struct {
	const char *text;
	int err;
	const char *line; /* how it begins */
} refused[] = {
	{ "floppy", -EUSAGE,
	  "--device floppy: no such device; there are: virtio-scsi, scsi-disk, " },
	{ "", -EUSAGE, "--device : no such device; there are: " },
	{ "virtio-rng,id=r0", -EUSAGE, "virtio-rng: id=r0: another device has this name" },
	{ "virtio-rng,id=", -EUSAGE, "virtio-rng: id=: 1 to 15 of letters" },
	{ "virtio-rng,id=a b", -EUSAGE, "virtio-rng: id=a b: 1 to 15 of letters" },
	{ "virtio-rng,id=0123456789abcdef", -EUSAGE, "virtio-rng: id=0123456789abcdef: 1 to 15" },
	{ "virtio-rng,id", -EUSAGE, "virtio-rng: unknown option 'id'" },
	{ "virtio-rng,speed=2", -EUSAGE, "virtio-rng: unknown option 'speed'" },
	{ "virtio-scsi,queues=65", -EUSAGE, "virtio-scsi: queues=65: out of range, 1 to 64" },
	{ "virtio-scsi,queues", -EUSAGE, "virtio-scsi: queues needs a value" },
};

/* One line, and nothing is left behind. */
START_TEST(refused_with_a_line)
{
	const struct device *before;
	char want[200];
	const char *line;

	ck_assert_int_eq(make("virtio-rng,id=r0"), 0);
	before = tb.devices.last;
	stderr_begin(&said);
	ck_assert_int_eq(make(refused[_i].text), refused[_i].err);
	line = stderr_end(&said);
	snprintf(want, sizeof(want), "lunette: error: %s", refused[_i].line);
	ck_assert_msg(!strncmp(line, want, strlen(want)), "%s", line);
	ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
	ck_assert_ptr_eq(tb.devices.last, before);
}
END_TEST

/* A double comma is a comma of the value, before and behind an id. */
START_TEST(comma_in_a_value)
{
	stderr_begin(&said);
	ck_assert_int_eq(make("virtio-scsi,id=s0"), 0);
	ck_assert_int_eq(make("scsi-disk,/none/a,,id=b,id=d0"), -ENOENT);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "/none/a,id=b: there is no such file"));
}
END_TEST

START_TEST(destroyed_in_reverse)
{
	ck_assert_int_eq(make("virtio-scsi,id=s0"), 0);
	ck_assert_int_eq(make("scsi-disk,store=null,size=1M"), 0);
	ck_assert_int_eq(make("virtio-rng"), 0);
	ck_assert_str_eq(tb.devices.last->next->class->name, "scsi-disk");
	device_destroy_all(&tb.devices);
	ck_assert_ptr_null(tb.devices.last);
}
END_TEST

static char noted[8];
static const char *refuses = "";

static int note_ready(struct device *dev)
{
	strcat(noted, dev->id);
	return strcmp(dev->id, refuses) ? 0 : -EBUSY;
}

static void note_explain(const struct device *dev, FILE *out)
{
	fprintf(out, "  as I am %s\n", dev->id);
}

/* A class whose devices note when they are asked, and one of which is not ready. */
START_TEST(ready_in_order)
{
	struct device_class class[3] = { { .ready = note_ready, .explain = note_explain },
					 { .help = "without hooks" },
					 { .ready = note_ready, .help = "with one" } };
	struct device dev[3] = { { .class = &class[0], .id = "a" },
				 { .class = &class[1], .id = "b", .next = &dev[0] },
				 { .class = &class[2], .id = "c", .next = &dev[1] } };
	struct device_list list = { &dev[2] }, none = { NULL };
	char text[200] = "";
	FILE *f = fmemopen(text, sizeof(text), "w");

	class[0].help = "with both";
	ck_assert_int_eq(device_ready_all(&none), 0);
	ck_assert_int_eq(device_ready_all(&list), 0);
	ck_assert_str_eq(noted, "ac");
	refuses = "a";
	ck_assert_int_eq(device_ready_all(&list), -EBUSY);
	ck_assert_str_eq(noted, "aca");
	device_explain_all(&none, f);
	device_explain_all(&list, f);
	fclose(f);
	ck_assert_str_eq(text, "a: with both\n  as I am a\nb: without hooks\nc: with one\n");
}
END_TEST

/* One that fails does not keep the others from it. */
/* Neither one that is missing nor one of another name. */
START_TEST(state_of_others)
{
	static const char *const texts[] = { "rtc,id=a", "rtc,id=b", "rtc" };
	uint8_t *data;
	size_t len;

	ck_assert_int_eq(make(_i == 2 ? "virtio-rng" : "rtc,id=a"), 0);
	ck_assert_int_eq(device_ready_all(&tb.devices), 0);
	ck_assert_int_eq(state_save(device_state_all, &tb.devices, &data, &len), 0);
	device_destroy_all(&tb.devices);
	testbed_fini(&tb);
	testbed_init(&tb);
	ck_assert_int_eq(make(texts[_i]), 0);
	ck_assert_int_eq(state_restore(device_state_all, &tb.devices, data, len),
			 _i ? -EINVAL : 0);
	free(data);
}
END_TEST

START_TEST(finish_all)
{
	struct device_class class[2] = { { .finish = note_ready }, { .help = "without hooks" } };
	struct device dev[3] = { { .class = &class[0], .id = "a" },
				 { .class = &class[1], .id = "b", .next = &dev[0] },
				 { .class = &class[0], .id = "c", .next = &dev[1] } };
	struct device_list list = { &dev[2] }, none = { NULL };

	noted[0] = 0;
	ck_assert_int_eq(device_finish_all(&none), 0);
	ck_assert_int_eq(device_finish_all(&list), 0);
	ck_assert_str_eq(noted, "ca");
	refuses = "c";
	ck_assert_int_eq(device_finish_all(&list), -EBUSY);
	ck_assert_str_eq(noted, "caca");
}
END_TEST

static void check_help(const char *class_name, bool known, const char *const *parts)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	ck_assert(device_help(class_name, f) == known);
	fclose(f);
	for (; *parts; parts++)
		ck_assert_msg(strstr(text, *parts), "no '%s' in:\n%s", *parts, text);
	if (!known)
		ck_assert_str_eq(text, "");
	free(text);
}

START_TEST(help)
{
	static const char *const scsi[] = { "virtio-scsi: ", "queues=N", "1 to 64", "id=NAME",
					    NULL };
	static const char *const none[] = { NULL };
	const char *all[32];
	unsigned i;

	check_help("virtio-scsi", true, scsi);
	check_help("floppy", false, none);
	for (i = 0; device_classes[i]; i++)
		all[i] = device_classes[i]->help;
	all[i] = NULL;
	check_help(NULL, true, all);
}
END_TEST

Suite *devices_suite(void)
{
	Suite *s = suite_create("devices");
	TCase *tc = unit_case(s, "devices");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, classes_are_complete);
	tcase_add_test(tc, memory_is_shared_for_some);
	tcase_add_test(tc, ids_are_made_up);
	tcase_add_loop_test(tc, id_is_taken, 0, ARRAY_SIZE(with_id));
	tcase_add_test(tc, find);
	tcase_add_loop_test(tc, refused_with_a_line, 0, ARRAY_SIZE(refused));
	tcase_add_test(tc, comma_in_a_value);
	tcase_add_test(tc, destroyed_in_reverse);
	tcase_add_test(tc, ready_in_order);
	tcase_add_loop_test(tc, state_of_others, 0, 3);
	tcase_add_test(tc, finish_all);
	tcase_add_test(tc, help);
	return s;
}

UNIT_MAIN(devices_suite)
