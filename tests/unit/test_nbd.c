/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "devices/block/nbd.h"
#include "tests/lib/nbd_server.h"
#include "vmm/core/util.h"

Suite *nbd_suite(void);

#define SIZE MIB(1)

static struct nbd_server server;
static struct nbd nbd;

static void set_up(void)
{
	server = (struct nbd_server){ .listening = -1 };
	nbd = (struct nbd){ .asks = -1, .at = -1 };
	nbd_server_start(&server, nbd_server_listen(&nbd.at), SIZE);
}

static void tear_down(void)
{
	nbd_fini(&nbd);
	nbd_server_stop(&server);
	close(nbd.at);
}

START_TEST(agrees)
{
	int fd;

	ck_assert_int_eq(nbd_init(&nbd), 0);
	ck_assert_uint_eq(nbd.size, SIZE);
	ck_assert_uint_eq(nbd.flags & NBD_HAS_TRIM, NBD_HAS_TRIM);
	ck_assert(nbd.tells);
	ck_assert(!nbd_is_lost(&nbd));
	fd = nbd_connect(&nbd);
	ck_assert_int_ge(fd, 0);
	close(fd);
}
END_TEST

/* Not where the first connection is made, or at the second. */
static const struct {
	enum nbd_lie lie;
	int init, connect;
} lies[] = {
	{ NBD_LIES_GREETING, -EPROTO, 0 },   { NBD_LIES_ANSWER, -EPROTO, 0 },
	{ NBD_LIES_LENGTH, -EPROTO, 0 },     { NBD_LIES_NO_EXPORT, -EPROTO, 0 },
	{ NBD_LIES_NO_FLUSH, -EPROTO, 0 },   { NBD_LIES_OTHER_SIZE, 0, -EPROTO },
};

START_TEST(what_is_refused)
{
	server.lie = lies[_i].lie;
	ck_assert_int_eq(nbd_init(&nbd), lies[_i].init);
	if (lies[_i].init)
		ck_assert_int_eq(nbd.asks, -1);
	else
		ck_assert_int_eq(nbd_connect(&nbd), lies[_i].connect);
}
END_TEST

/* What cannot be written is no place for a disk that is; to be read it will do. */
START_TEST(read_only)
{
	server.flags = 1 | NBD_READ_ONLY;
	ck_assert_int_eq(nbd_init(&nbd), -EPROTO);
	nbd.block.readonly = true;
	ck_assert_int_eq(nbd_init(&nbd), 0);
}
END_TEST

START_TEST(what_is_mapped)
{
	uint64_t end = SIZE;

	memset(server.mapped + 2, true, 3 * sizeof(bool));
	ck_assert_int_eq(nbd_init(&nbd), 0);
	ck_assert(!nbd_is_mapped(&nbd, 0, &end));
	ck_assert_uint_eq(end, 2 * NBD_SERVER_BLOCK);
	end = SIZE;
	ck_assert(nbd_is_mapped(&nbd, 2 * NBD_SERVER_BLOCK + 512, &end));
	ck_assert_uint_eq(end, 5 * NBD_SERVER_BLOCK);
	end = 3 * NBD_SERVER_BLOCK;
	ck_assert(nbd_is_mapped(&nbd, 2 * NBD_SERVER_BLOCK, &end));
	ck_assert_uint_eq(end, 3 * NBD_SERVER_BLOCK);
}
END_TEST

/* Of a server that cannot tell, or tells nonsense, all is; it is asked no more. */
START_TEST(nobody_tells)
{
	static const enum nbd_lie rows[] = { NBD_LIES_NO_STATUS, NBD_LIES_STATUS };
	uint64_t end = SIZE;

	server.lie = rows[_i];
	ck_assert_int_eq(nbd_init(&nbd), 0);
	ck_assert(nbd_is_mapped(&nbd, 0, &end));
	ck_assert(nbd_is_mapped(&nbd, 0, &end));
	ck_assert_uint_eq(end, SIZE);
	ck_assert(!nbd.tells);
	ck_assert_uint_eq(server.calls[NBD_STATUS], rows[_i] == NBD_LIES_STATUS);
}
END_TEST

START_TEST(server_gone)
{
	uint64_t end = SIZE;

	ck_assert_int_eq(nbd_init(&nbd), 0);
	nbd_server_stop(&server);
	ck_assert(nbd_is_lost(&nbd));
	ck_assert(nbd_is_mapped(&nbd, 0, &end));
	ck_assert_int_eq(nbd_connect(&nbd), -EPIPE);
	nbd_server_start(&server, nbd_server_listen(&(int){ 0 }), SIZE);
}
END_TEST

START_TEST(errors)
{
	ck_assert_int_eq(nbd_error(0), 0);
	ck_assert_int_eq(nbd_error(28), -ENOSPC);
	ck_assert_int_eq(nbd_error(5), -EIO);
	ck_assert_int_eq(nbd_error(0xffffffff), -EIO);
}
END_TEST

Suite *nbd_suite(void)
{
	Suite *s = suite_create("nbd");
	TCase *tc = unit_case(s, "nbd");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, agrees);
	tcase_add_loop_test(tc, what_is_refused, 0, ARRAY_SIZE(lies));
	tcase_add_test(tc, read_only);
	tcase_add_test(tc, what_is_mapped);
	tcase_add_loop_test(tc, nobody_tells, 0, 2);
	tcase_add_test(tc, server_gone);
	tcase_add_test(tc, errors);
	return s;
}

UNIT_MAIN(nbd_suite)
