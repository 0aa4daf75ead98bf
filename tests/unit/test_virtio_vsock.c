/* SPDX-License-Identifier: MIT */
#include "tests/unit/vsock_fixture.h"

#include "vmm/core/fail.h"

Suite *virtio_vsock_suite(void);

START_TEST(config_space)
{
	uint8_t cid[8];

	make(_i ? ",transport=mmio" : "");
	start_with(0);
	ck_assert_uint_eq(v.device_id, VIRTIO_ID_VSOCK);
	ck_assert_uint_eq(v.offered & 0xffffff, 0); /* streams alone, as nothing is said */
	vdriver_config_read(&v, 0, cid, 8);
	ck_assert_uint_eq(le64_get(cid), CID);
	vdriver_config_write(&v, 0, 1, 4);
	vdriver_config_read(&v, 0, cid, 8);
	ck_assert_uint_eq(le64_get(cid), CID);
}
END_TEST

START_TEST(auto_is_three)
{
	char text[120];
	uint8_t cid[8];

	snprintf(text, sizeof(text), "virtio-vsock,path=%s", path);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, text), 0);
	testbed_start(&tb);
	start_with(0);
	vdriver_config_read(&v, 0, cid, 8);
	ck_assert_uint_eq(le64_get(cid), 3);
}
END_TEST

static const struct {
	const char *options, *why;
} refused[] = {
	{ "2,path=v", "cid=2: out of range, 3 to 4294967294" },
	{ "4294967295,path=v", "cid=4294967295: out of range" },
	{ "some,path=v", "cid=some: " },
	{ "3,path=v,connections=0", "connections=0: out of range, 1 to 16384" },
	{ "3,path=", "path=: " },
};

START_TEST(wrong_options)
{
	char text[200];

	testbed_start(&tb);
	snprintf(text, sizeof(text), "virtio-vsock,%s", refused[_i].options);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, text), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(said, refused[_i].why));
}
END_TEST

/* It has the fact that its run is asked for, and no memory without Unix sockets. */
START_TEST(explained)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	make("");
	device_explain_all(&tb.devices, f);
	fclose(f);
	ck_assert_ptr_nonnull(strstr(text, "address: CID 77"));
	ck_assert_ptr_nonnull(strstr(text, "/v and "));
	ck_assert_ptr_nonnull(strstr(text, "Unix sockets, 1024 connections"));
	free(text);
	ck_assert_uint_eq(device_memory_all(&tb.devices), vsock_host_memory(1024));
}
END_TEST

/* §5.10.6.7: connections do not outlive what is restored, and the driver is told, once. */
START_TEST(restored)
{
	uint8_t event[8] = { 0xff, 0xff, 0xff, 0xff, 0xff };
	struct iovec iov = { event, sizeof(event) };
	int fd;

	start();
	fd = connected();
	testbed_rebirth(&tb);
	ck_assert_int_eq(vdriver_request(&v, VSOCK_EVENT, NULL, 0, &iov, 1, VSOCK_WAIT_MS), 4);
	ck_assert_uint_eq(le32_get(event), VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
	host_hears_end(fd);
	guest_says(1, 1);
	gets(VIRTIO_VSOCK_OP_RST, GUEST_PORT, HOST_PORT);
	ck_assert_int_eq(vdriver_request(&v, VSOCK_EVENT, NULL, 0, &iov, 1, 50), -ETIMEDOUT);
	close(fd);
}
END_TEST

Suite *virtio_vsock_suite(void)
{
	Suite *s = suite_create("virtio_vsock");
	TCase *tc = unit_case(s, "virtio_vsock");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, config_space, 0, 2);
	tcase_add_test(tc, auto_is_three);
	tcase_add_loop_test(tc, wrong_options, 0, ARRAY_SIZE(refused));
	tcase_add_test(tc, explained);
	tcase_add_test(tc, restored);
	return s;
}

UNIT_MAIN(virtio_vsock_suite)
