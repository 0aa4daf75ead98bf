/* SPDX-License-Identifier: MIT */
#include "tests/lib/scsi_run.h"

#include <errno.h>

#include "tests/unit/unit.h"
#include "vmm/core/util.h"

Suite *port_suite(void);

static struct scsi_rig rig;

static void setup(void)
{
	rig_init(&rig);
}

static void teardown(void)
{
	rig_fini(&rig);
}

static uint32_t tur(void)
{
	return scsi_run(&rig, CDB(0), NULL, 0, NULL, 0);
}

START_TEST(addresses)
{
	static struct scsi_lun more[3];
	static const uint16_t numbers[] = { 300, 7, 16383 };
	static const struct {
		uint8_t field[8];
		int number; /* -1: none */
	} cases[] = {
		{ { 0 }, 0 },
		{ { 0x40, 0 }, 0 },
		{ { 0, 7 }, 7 },
		{ { 0x40, 7 }, 7 },
		{ { 0x41, 0x2c }, 300 },
		{ { 0x7f, 0xff }, 16383 },
		{ { 0, 8 }, -1 },
		{ { 0x01, 0x2c }, -1 },    /* bus 1 */
		{ { 0x80, 7 }, -1 },       /* logical unit addressing */
		{ { 0xc1, 0x01 }, -1 },    /* a well-known one */
		{ { 0, 7, 0, 1 }, -1 },    /* a second level */
		{ { 0, 7, 0, 0, 0, 0, 0, 1 }, -1 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		scsi_lun_init(&more[i], &rig.ram->block, numbers[i], "x");
		rig_add(&rig, &more[i]);
	}
	ck_assert_int_eq(scsi_port_add(&rig.port, &more[1]), -EEXIST);
	ck_assert_uint_eq(rig.port.count, 4);
	for (i = 1; i < 4; i++)
		ck_assert_uint_lt(rig.port.nexus[i - 1]->lun->lun,
				   rig.port.nexus[i]->lun->lun);

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct scsi_path *path = scsi_ctx_find(&rig.ctx, 0, cases[i].field);

		ck_assert_int_eq(path ? path->nexus->lun->lun : -1, cases[i].number);
	}
}
END_TEST

START_TEST(address_of_a_number)
{
	uint8_t field[8];

	scsi_lun_address(255, field);
	ck_assert_mem_eq(field, "\x00\xff\0\0\0\0\0\0", 8);
	scsi_lun_address(256, field);
	ck_assert_mem_eq(field, "\x41\x00\0\0\0\0\0\0", 8);
	scsi_lun_address(16383, field);
	ck_assert_mem_eq(field, "\x7f\xff\0\0\0\0\0\0", 8);
}
END_TEST

START_TEST(reset_leaves_power_on_alone)
{
	scsi_attention(&rig.lun, SENSE_MODE_PARAMETERS_CHANGED);
	scsi_attention(&rig.lun, SENSE_BUS_DEVICE_RESET);
	scsi_port_reset(&rig.port);
	ck_assert_uint_eq(tur(), 0x062900);
	ck_assert_uint_eq(tur(), 0);
}
END_TEST

START_TEST(fresh_lun_has_power_on)
{
	struct scsi_lun lun;
	struct scsi_port port;

	scsi_port_init(&port, 9);
	scsi_lun_init(&lun, &rig.ram->block, 0, "x");
	ck_assert_int_eq(scsi_port_add(&port, &lun), 0);
	ck_assert_uint_eq(scsi_attention_take(port.nexus[0]), SENSE_POWER_ON);
	ck_assert_uint_eq(scsi_attention_take(port.nexus[0]), SENSE_NONE);
	scsi_port_fini(&port);
	scsi_lun_fini(&lun);
}
END_TEST

/* A target has LUNs of its own, with numbers of its own. */
START_TEST(targets)
{
	static struct scsi_lun more[3];
	static const struct {
		uint8_t target;
		uint16_t lun;
	} places[] = { { 255, 16383 }, { 7, 0 }, { 7, 300 } };
	uint8_t data[64];
	size_t i;

	ck_assert_uint_eq(scsi_port_last_target(&rig.port), 0);
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		scsi_lun_init(&more[i], &rig.ram->block, places[i].lun, "x");
		more[i].target = places[i].target;
		rig_add(&rig, &more[i]);
	}
	ck_assert_uint_eq(scsi_port_last_target(&rig.port), 255);
	rig.target = 7;
	ck_assert_uint_eq(scsi_run(&rig, CDB(0xa0, [9] = 64), NULL, 0, data, 64), 0);
	ck_assert_uint_eq(be32_get(data), 16);
	ck_assert_mem_eq(data + 8, "\0\0\0\0\0\0\0\0\x41\x2c\0\0\0\0\0\0", 16);
	ck_assert_uint_eq(tur(), 0);
	rig.lun_field[1] = 5;
	ck_assert_uint_eq(tur(), 0x052500);
	rig.target = 255;
	memcpy(rig.lun_field, "\x7f\xff", 2);
	ck_assert_uint_eq(tur(), 0);
	rig.target = 6;
	ck_assert_uint_eq(tur(), RIG_RESPONSE(SCSI_RESPONSE_BAD_TARGET));
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x12, [4] = 36), NULL, 0, data, 36),
			  RIG_RESPONSE(SCSI_RESPONSE_BAD_TARGET));
}
END_TEST

/* All the LUNs that a target can have; adding and finding takes no time to speak of. */
START_TEST(many)
{
	static struct scsi_lun luns[SCSI_LUNS_MAX];
	struct scsi_port port;
	struct scsi_ctx ctx;
	uint8_t field[8];
	unsigned i;

	scsi_port_init(&port, 2);
	for (i = 0; i < SCSI_LUNS_MAX; i++) {
		scsi_lun_init(&luns[i], NULL, (uint16_t)i, "many");
		ck_assert_int_eq(scsi_port_add(&port, &luns[i]), 0);
	}
	ck_assert_int_eq(scsi_ctx_init(&ctx, &port, rig.loop), 0);
	for (i = 0; i < SCSI_LUNS_MAX; i += 1023) {
		scsi_lun_address((uint16_t)i, field);
		ck_assert_ptr_eq(scsi_ctx_find(&ctx, 0, field)->nexus->lun, &luns[i]);
	}
	scsi_ctx_fini(&ctx);
	scsi_port_fini(&port);
	for (i = 0; i < SCSI_LUNS_MAX; i++)
		scsi_lun_fini(&luns[i]);
}
END_TEST

/* A LUN goes while it works, and comes back as a new one. */
START_TEST(gone_and_back)
{
	struct scsi_flight flight = { .cmd.tag = 1 };
	struct scsi_nexus *nexus;
	uint8_t data[512];

	rig.ram->hold = true;
	flight_start(&flight, &rig, CDB(0x28, [8] = 1), NULL, 0, data, 512);
	nexus = scsi_port_take(&rig.port, &rig.lun);
	ck_assert_ptr_nonnull(nexus);
	ck_assert_ptr_null(scsi_port_take(&rig.port, &rig.lun));
	ck_assert_uint_eq(flight.done, 0);
	ck_assert_int_eq(scsi_ctx_sync(&rig.ctx), 0);
	ck_assert_uint_eq(flight_result(&flight), RIG_RESPONSE(SCSI_RESPONSE_RESET));
	scsi_nexus_free(nexus);
	ck_assert_uint_eq(tur(), RIG_RESPONSE(SCSI_RESPONSE_BAD_TARGET));
	ck_assert_int_eq(scsi_port_add(&rig.port, &rig.lun), 0);
	ck_assert_uint_eq(tur(), RIG_RESPONSE(SCSI_RESPONSE_BAD_TARGET));
	ck_assert_int_eq(scsi_ctx_sync(&rig.ctx), 0);
	ck_assert_uint_eq(tur(), 0x062900);
	ck_assert_uint_eq(tur(), 0);
}
END_TEST

/* The other LUNs' commands go on while one comes, and another goes. */
START_TEST(sync_leaves_others_alone)
{
	static struct scsi_lun more;
	struct scsi_flight flight = { .cmd.tag = 1 };
	struct scsi_nexus *nexus;
	uint8_t data[512];

	rig.ram->hold = true;
	flight_start(&flight, &rig, CDB(0x28, [8] = 1), NULL, 0, data, 512);
	scsi_lun_init(&more, &rig.ram->block, 0x20, "more");
	rig_add(&rig, &more);
	nexus = scsi_port_take(&rig.port, &more);
	ck_assert_int_eq(scsi_ctx_sync(&rig.ctx), 0);
	scsi_nexus_free(nexus);
	ck_assert_uint_eq(flight.done, 0);
	scsi_ctx_drain(&rig.ctx);
	ck_assert_uint_eq(flight_result(&flight), 0);
}
END_TEST

Suite *port_suite(void)
{
	Suite *suite = suite_create("port");
	TCase *tc = unit_case(suite, "port");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, addresses);
	tcase_add_test(tc, address_of_a_number);
	tcase_add_test(tc, reset_leaves_power_on_alone);
	tcase_add_test(tc, fresh_lun_has_power_on);
	tcase_add_test(tc, targets);
	tcase_add_test(tc, many);
	tcase_add_test(tc, gone_and_back);
	tcase_add_test(tc, sync_leaves_others_alone);
	return suite;
}

UNIT_MAIN(port_suite)
