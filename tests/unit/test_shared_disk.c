/* SPDX-License-Identifier: MIT */
/* A disk that two guests have, each in a machine of its own, served by a process of its own. */
#include "tests/unit/shared_fixture.h"

#include <linux/virtio_scsi.h>
#include <signal.h>

#include "tests/lib/scsi_driver.h"
#include "tests/lib/testbed.h"

Suite *shared_disk_suite(void);

#define GUESTS 2
#define CONFLICT 0x18
#define CHECK 0x02

static struct testbed tb[GUESTS];
static struct vdriver v[GUESTS];
static char text[GUESTS][160];
static struct stderr_text said;
static atomic_uint full;

static void on_full(struct platform *p)
{
	(void)p;
	atomic_fetch_add(&full, 1);
}

static int make(unsigned g, const char *more)
{
	snprintf(text[g], sizeof(text[g]), "shared-disk,%s,shared=x%s", image, more);
	return device_create(&tb[g].p, &tb[g].devices, text[g]);
}

static void begin(unsigned g, const char *more)
{
	ck_assert_int_eq(make(g, more), 0);
	testbed_start(&tb[g]);
	ck_assert(vdriver_probe(&v[g], &tb[g], 0));
	ck_assert(vdriver_start(&v[g], ~0ull, 3, 64));
	scsi_driver_clear_attention(&v[g], 0);
}

static void set_up_tb(unsigned g)
{
	testbed_init_shared(&tb[g]);
	tb[g].p.cpus = 1;
	tb[g].p.disk_full = on_full;
	memset(&v[g], 0, sizeof(v[g]));
}

static void set_up(void)
{
	unsigned g;

	set_up_folder();
	for (g = 0; g < GUESTS; g++)
		set_up_tb(g);
	atomic_store(&full, 0);
}

static void tear_down(void)
{
	unsigned g;

	for (g = 0; g < GUESTS; g++) {
		vdriver_fini(&v[g]);
		testbed_fini(&tb[g]);
	}
	tear_down_folder();
}

static unsigned run(unsigned g, const uint8_t cdb[32], const void *out, size_t out_len, void *in,
		    size_t in_len)
{
	struct scsi_driver_answer a = scsi_driver_run(&v[g], 2, 0, cdb, out, out_len, in, in_len);

	ck_assert_int_ge(a.used, 0);
	ck_assert_uint_eq(a.response, VIRTIO_SCSI_S_OK);
	return a.status == CHECK ? CHECK << 16 | a.sense[12] << 8 | a.sense[13] : a.status;
}

static unsigned rw(unsigned g, bool write, void *data)
{
	uint8_t cdb[32] = { 0 };

	scsi_driver_rw(cdb, write, 16, 1);
	return run(g, cdb, data, write ? 512 : 0, data, write ? 0 : 512);
}

/* PERSISTENT RESERVE OUT */
static unsigned reserve(unsigned g, unsigned action, unsigned type, uint8_t key, uint8_t new_key)
{
	uint8_t list[24] = { [7] = key, [15] = new_key };

	return run(g, SCSI_DRIVER_CDB(0x5f, action, type, 0, 0, 0, 0, 0, 24), list, sizeof(list),
		   NULL, 0);
}

START_TEST(what_one_writes_the_other_reads)
{
	uint8_t data[512], got[512] = { 0 };

	begin(0, "");
	begin(1, "");
	memset(data, 0x5a, sizeof(data));
	ck_assert_uint_eq(rw(0, true, data), 0);
	ck_assert_uint_eq(rw(1, false, got), 0);
	ck_assert_mem_eq(got, data, 512);
}
END_TEST

/* Both register; one is thrown out, hears of it, and cannot write any more. */
START_TEST(fencing)
{
	uint8_t data[512] = { 1 };

	begin(0, ",initiator=a");
	begin(1, ",initiator=b");
	ck_assert_uint_eq(reserve(0, 0, 0, 0, 0xa), 0);
	ck_assert_uint_eq(reserve(1, 0, 0, 0, 0xb), 0);
	ck_assert_uint_eq(reserve(0, 1, 5, 0xa, 0), 0);
	ck_assert_uint_eq(rw(1, true, data), 0);
	ck_assert_uint_eq(reserve(0, 5, 5, 0xa, 0xb), 0);
	ck_assert_uint_eq(rw(1, true, data), CHECK << 16 | 0x2a05); /* registrations preempted */
	ck_assert_uint_eq(rw(1, true, data), CONFLICT);
	ck_assert_uint_eq(rw(1, false, data), 0);
	ck_assert_uint_eq(rw(0, true, data), 0);
}
END_TEST

/* A guest goes and comes back by its name: what it has registered, and holds, is its own. */
START_TEST(comes_back)
{
	uint8_t data[512] = { 1 };

	begin(0, ",initiator=a");
	begin(1, ",initiator=b");
	ck_assert_uint_eq(reserve(1, 0, 0, 0, 0xb), 0);
	ck_assert_uint_eq(reserve(1, 1, 1, 0xb, 0), 0);
	vdriver_fini(&v[1]);
	testbed_fini(&tb[1]);
	ck_assert_uint_eq(rw(0, true, data), CONFLICT);
	set_up_tb(1);
	begin(1, ",initiator=b");
	ck_assert_uint_eq(rw(1, true, data), 0);
	ck_assert_uint_eq(reserve(1, 2, 1, 0xb, 0), 0);
	ck_assert_uint_eq(rw(0, true, data), 0);
}
END_TEST

/* A driver that starts anew has no attentions but that; its registration stays. */
START_TEST(driver_resets)
{
	uint8_t data[512] = { 1 };

	begin(0, "");
	begin(1, "");
	ck_assert_uint_eq(reserve(0, 0, 0, 0, 0xa), 0);
	ck_assert_uint_eq(reserve(0, 1, 3, 0xa, 0), 0);
	vdriver_reset(&v[0]);
	vdriver_fini(&v[0]);
	ck_assert(vdriver_probe(&v[0], &tb[0], 0));
	ck_assert(vdriver_start(&v[0], ~0ull, 3, 64));
	ck_assert_uint_eq(rw(0, true, data), CHECK << 16 | 0x2900);
	ck_assert_uint_eq(rw(0, true, data), 0);
	ck_assert_uint_eq(rw(1, false, data), CONFLICT);
}
END_TEST

static pid_t server_pid(unsigned g)
{
	char out[2000] = "", *at;
	FILE *f = fmemopen(out, sizeof(out) - 1, "w");

	device_explain_all(&tb[g].devices, f);
	fclose(f);
	at = strstr(out, "served by: process ");
	ck_assert_ptr_nonnull(at);
	ck_assert_ptr_nonnull(strstr(out, "(lunette shared-disk x), to all guests that share it"));
	return atoi(at + strlen("served by: process "));
}

/* Another server would know nothing of what is reserved: the runs end. */
START_TEST(server_is_killed)
{
	unsigned g, ms = 0;

	for (g = 0; g < GUESTS; g++)
		begin(g, "");
	stderr_begin(&said);
	ck_assert_int_eq(kill(server_pid(0), SIGKILL), 0);
	for (; atomic_load(&full) < GUESTS && ms < PATIENCE; ms += 10)
		usleep(10000);
	for (g = 0; g < GUESTS; g++)
		vdriver_reset(&v[g]);
	stderr_end(&said);
	ck_assert_uint_ge(atomic_load(&full), GUESTS);
	ck_assert_ptr_nonnull(strstr(said.text, "shared0: the server at /tmp/"));
	ck_assert_ptr_nonnull(strstr(said.text, "/lunette/x has gone away; the run ends, as the "
				     "server alone knew of reservations"));
	ck_assert_uint_eq(left(), 2); /* nobody was there to take them away */
	ck_assert_int_eq(shared_clean(stdout), 0);
}
END_TEST

/* Until now, on stderr, since stderr_begin(). */
static bool is_said(const char *what)
{
	char so_far[4096];
	ssize_t n = pread(STDERR_FILENO, so_far, sizeof(so_far) - 1, 0);

	so_far[n > 0 ? n : 0] = 0;
	return strstr(so_far, what);
}

/* What the server finds wrong with a ring is said here; the other guest goes on. */
START_TEST(server_has_a_line)
{
	uint8_t data[512] = { 1 };
	unsigned ms = 0;

	begin(0, "");
	begin(1, "");
	stderr_begin(&said);
	le16_put(v[0].queue[2].ring.a + 2, 1000);
	vdriver_notify(&v[0], 2);
	for (; !is_said("its server: ") && ms < PATIENCE; ms += 10)
		usleep(10000);
	stderr_end(&said);
	ck_assert_msg(strstr(said.text, "shared0: its server: guest1: queue 2: bad ring"), "%s",
		      said.text);
	ck_assert_uint_eq(rw(1, true, data), 0);
}
END_TEST

static const struct {
	const char *more, *said;
} refused[] = {
	{ ",initiator=a/b", "shared0: initiator=a/b: 1 to 32 of letters" },
	{ ",block-size=4096", "has block-size=4096; the others that share it have" },
	{ ",readonly=on", "has readonly=on; the others that share it have readonly=off" },
	{ ",initiator=a", "initiator=a is another guest that runs; give this one another name" },
};

START_TEST(is_refused)
{
	begin(0, ",initiator=a");
	stderr_begin(&said);
	ck_assert_int_eq(make(1, refused[_i].more), -EUSAGE);
	stderr_end(&said);
	ck_assert_msg(strstr(said.text, refused[_i].said), "%s", said.text);
}
END_TEST

static const struct {
	const char *text, *said;
} alone[] = {
	{ "a,shared=x,on=blk", "on=blk does not go with shared=" },
	{ "a,fault=read:error=EIO,shared=x", "fault=read:error=EIO does not go with shared=" },
	{ "a,shared=x,overlay=on", "overlay=on does not go with shared=" },
	{ "store=null,size=1M,shared=x", "store=null does not go with shared=" },
	{ "a,shared=x,bus=s0", "bus=s0 does not go with shared=" },
	{ "a,shared=x,lun=3", "lun=3 does not go with shared=" },
};

START_TEST(what_does_not_go_with_it)
{
	char *device;

	stderr_begin(&said);
	ck_assert_int_eq(device_of_disk(alone[_i].text, &device), -EUSAGE);
	stderr_end(&said);
	ck_assert_msg(strstr(said.text, alone[_i].said), "%s", said.text);
	ck_assert(device_disk_is_shared(alone[_i].text));
	ck_assert(!device_disk_is_shared("a,serial=shared"));
}
END_TEST

START_TEST(kernel_cannot)
{
	tb[0].p.vhost = VHOST_ON;
	stderr_begin(&said);
	ck_assert_int_eq(make(0, ""), -EUSAGE);
	stderr_end(&said);
	ck_assert_ptr_nonnull(strstr(said.text, "shared0: shared=x: --vhost on: the kernel has"));
	ck_assert_uint_eq(left(), 0);
}
END_TEST

Suite *shared_disk_suite(void)
{
	Suite *s = suite_create("shared_disk");
	TCase *tc = unit_case(s, "guests");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, what_one_writes_the_other_reads);
	tcase_add_test(tc, fencing);
	tcase_add_test(tc, comes_back);
	tcase_add_test(tc, driver_resets);
	tcase_add_test(tc, server_is_killed);
	tcase_add_test(tc, server_has_a_line);
	tcase_add_loop_test(tc, is_refused, 0, ARRAY_SIZE(refused));
	tcase_add_loop_test(tc, what_does_not_go_with_it, 0, ARRAY_SIZE(alone));
	tcase_add_test(tc, kernel_cannot);
	return s;
}

UNIT_MAIN_OR(shared_disk_suite, be_shared_server)
