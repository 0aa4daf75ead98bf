/* SPDX-License-Identifier: MIT */
/* Who may have a shared disk, and what it remembers of them. */
#include "tests/unit/shared_fixture.h"

Suite *shared_lun_suite(void);

static struct shared_lun lun;
static struct shared_answer answer;
static struct shared_initiator *who;

static void set_up(void)
{
	struct shared_hello h;

	set_up_folder();
	h = hello_of(image, "a");
	ck_assert_int_eq(shared_lun_open(&lun, "x", &h, &answer), 0);
}

static void tear_down(void)
{
	shared_lun_close(&lun);
	tear_down_folder();
}

static int join(const char *initiator, struct shared_initiator **to)
{
	struct shared_hello h = hello_of(image, initiator);

	return shared_lun_join(&lun, &h, &answer, to);
}

static void be_registered(struct shared_initiator *it, bool on)
{
	pthread_mutex_lock(&lun.lun.lock);
	it->port.nexus[0]->registered = on;
	pthread_mutex_unlock(&lun.lun.lock);
}

START_TEST(one_comes)
{
	ck_assert_int_eq(join("a", &who), 0);
	ck_assert_uint_eq(answer.size, IMAGE_SIZE);
	ck_assert_uint_eq(answer.guests, 1);
	ck_assert_str_eq(answer.serial, "disk.img");
	ck_assert_uint_eq(strlen(answer.naa), 32);
	shared_lun_leave(&lun, who);
}
END_TEST

/* The second one with a name of a guest that runs is refused; one without a name never is. */
START_TEST(names)
{
	struct shared_initiator *other, *third;

	ck_assert_int_eq(join("a", &who), 0);
	ck_assert_int_eq(join("a", &other), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(answer.text, "initiator=a is another guest that runs"));
	ck_assert_int_eq(join("", &other), 0);
	ck_assert_int_eq(join("", &third), 0);
	ck_assert_uint_eq(answer.guests, 3);
	ck_assert_uint_ne(other->port.initiator, third->port.initiator);
	ck_assert_uint_ne(other->port.id, third->port.id);
	shared_lun_leave(&lun, third);
	shared_lun_leave(&lun, other);
	shared_lun_leave(&lun, who);
	ck_assert_int_eq(join("a", &who), 0);
	shared_lun_leave(&lun, who);
}
END_TEST

/* What is registered waits for who has the name; what was not, or is no more, is forgotten. */
START_TEST(comes_back)
{
	uint64_t address;
	unsigned id;

	ck_assert_int_eq(join("b", &who), 0);
	address = who->port.initiator;
	id = who->port.id;
	be_registered(who, true);
	shared_lun_leave(&lun, who);
	ck_assert_int_eq(join("a", &who), 0);
	ck_assert_uint_ne(who->port.id, id);
	ck_assert_int_eq(join("b", &who), 0);
	ck_assert_uint_eq(who->port.initiator, address);
	ck_assert_uint_eq(who->port.id, id);
	ck_assert(who->port.nexus[0]->registered);
	shared_lun_leave(&lun, who);
	be_registered(who, false);
	ck_assert_int_eq(join("c", &who), 0);
	ck_assert_uint_eq(who->port.id, id);
	ck_assert_int_eq(join("b", &who), 0);
	ck_assert_uint_eq(who->port.initiator, address);
	ck_assert(!who->port.nexus[0]->registered);
}
END_TEST

START_TEST(not_too_many)
{
	unsigned i;

	for (i = 0; i < SHARED_INITIATORS; i++) {
		ck_assert_int_eq(join("", &who), 0);
		be_registered(who, true);
		shared_lun_leave(&lun, who);
	}
	ck_assert_int_eq(join("z", &who), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(answer.text, "64 guests have it, or are registered"));
	be_registered(lun.initiator[7], false);
	ck_assert_int_eq(join("z", &who), 0);
}
END_TEST

static void other_serial(struct shared_hello *h) { strcpy(h->serial, "other"); }
static void other_wwn(struct shared_hello *h) { strcpy(h->wwn, "3000000000000001"); }
static void other_block(struct shared_hello *h) { h->block_size = 4096; }
static void other_physical(struct shared_hello *h) { h->physical_block = 4096; }
static void other_format(struct shared_hello *h) { h->format = BLOCK_FORMAT_RAW; }
static void other_readonly(struct shared_hello *h) { h->readonly = 1; }
static void other_cache(struct shared_hello *h) { h->direct = 1; }
static void other_file(struct shared_hello *h) { h->ino++; }

static const struct {
	void (*change)(struct shared_hello *h);
	const char *said;
} differing[] = {
	{ other_serial, "has serial=other; the others that share it have no serial=" },
	{ other_wwn, "has wwn=3000000000000001; the others that share it have no wwn=" },
	{ other_block, "has block-size=4096; the others that share it have block-size=512" },
	{ other_physical, "has physical-block=4096; the others that share it have "
			  "physical-block=auto" },
	{ other_format, "has format=raw; the others that share it have format=auto" },
	{ other_readonly, "has readonly=on; the others that share it have readonly=off" },
	{ other_cache, "has direct=on; the others that share it have direct=off" },
	{ other_file, "shared=x: is another file than" },
};

START_TEST(others_mean_another)
{
	struct shared_hello h = hello_of(image, "a");

	differing[_i].change(&h);
	ck_assert(shared_hello_ok(&h));
	ck_assert_int_eq(shared_lun_join(&lun, &h, &answer, &who), -EUSAGE);
	ck_assert_int_eq(answer.err, -EUSAGE);
	ck_assert_msg(strstr(answer.text, differing[_i].said), "%s", answer.text);
}
END_TEST

static void bad_magic(struct shared_hello *h) { h->magic[7] = '0'; }
static void bad_name(struct shared_hello *h) { memset(h->initiator, 'a', sizeof(h->initiator)); }
static void bad_file(struct shared_hello *h) { memset(h->file, 'a', sizeof(h->file)); }
static void bad_serial(struct shared_hello *h) { memset(h->serial, 'a', sizeof(h->serial)); }
static void bad_wwn(struct shared_hello *h) { memset(h->wwn, 'a', sizeof(h->wwn)); }
static void bad_block(struct shared_hello *h) { h->block_size = 0; }
static void bad_physical(struct shared_hello *h) { h->physical_block = 1; }
static void bad_word(struct shared_hello *h) { h->format = 6; }
static void bad_bool(struct shared_hello *h) { h->discard = 2; }

static void (*const bad[])(struct shared_hello *h) = {
	bad_magic, bad_name, bad_file, bad_serial, bad_wwn, bad_block, bad_physical, bad_word,
	bad_bool,
};

START_TEST(hello_is_checked)
{
	struct shared_hello h = hello_of(image, "a");

	ck_assert(shared_hello_ok(&h));
	bad[_i](&h);
	ck_assert(!shared_hello_ok(&h));
}
END_TEST

/* The reason goes to who has asked, and to nobody else. */
START_TEST(cannot_be_opened)
{
	struct shared_hello h = hello_of("/nowhere/disk.img", "a");
	static struct stderr_text said;
	struct shared_lun none;

	stderr_begin(&said);
	ck_assert_int_lt(shared_lun_open(&none, "y", &h, &answer), 0);
	ck_assert_str_eq(stderr_end(&said), "");
	ck_assert_ptr_nonnull(strstr(answer.text, "/nowhere/disk.img"));
	h = hello_of(image, "a"); /* its lock is the first one's */
	ck_assert_int_lt(shared_lun_open(&none, "y", &h, &answer), 0);
	ck_assert_ptr_nonnull(strstr(answer.text, "is attached twice"));
}
END_TEST

Suite *shared_lun_suite(void)
{
	Suite *s = suite_create("shared_lun");
	TCase *tc = unit_case(s, "lun");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, one_comes);
	tcase_add_test(tc, names);
	tcase_add_test(tc, comes_back);
	tcase_add_test(tc, not_too_many);
	tcase_add_loop_test(tc, others_mean_another, 0, ARRAY_SIZE(differing));
	tcase_add_loop_test(tc, hello_is_checked, 0, ARRAY_SIZE(bad));
	tcase_add_test(tc, cannot_be_opened);
	return s;
}

UNIT_MAIN(shared_lun_suite)
