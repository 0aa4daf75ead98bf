/* SPDX-License-Identifier: MIT */
#include "tests/lib/scsi_run.h"

#include "tests/unit/unit.h"
#include "vmm/core/util.h"

Suite *lun_suite(void);

static struct scsi_rig rig;

static void setup(void)
{
	rig_init(&rig);
}

static void teardown(void)
{
	rig_fini(&rig);
}

static void step(void)
{
	rig_rebirth(&rig, teardown, setup);
}

static void setup_reborn(void)
{
	setup();
	rig.step = step;
}

static uint32_t tur(void)
{
	return scsi_run(&rig, CDB(0), NULL, 0, NULL, 0);
}

START_TEST(names_are_stable)
{
	struct scsi_lun a, b;

	scsi_lun_init(&a, &rig.ram->block, 1, "serial-0");
	scsi_lun_init(&b, &rig.ram->block, 0, "serial-1");
	ck_assert_str_eq(a.naa, rig.lun.naa);
	ck_assert_str_ne(b.naa, rig.lun.naa);
	scsi_lun_fini(&a);
	scsi_lun_fini(&b);
}
END_TEST

/* What the kernel's target has been seen to make, with company 123456h and by the same rule. */
START_TEST(names_are_those_of_the_kernel)
{
	static const struct {
		uint32_t company;
		const char *serial, *naa;
	} names[] = {
		{ 0x123456, "the first a.img", "6123456efa0000000000000000000000" },
		{ 0x001405, "", "60014050000000000000000000000000" },
		{ 0x001405, "xyz", "60014050000000000000000000000000" },
		{ 0xffffff, "ABCDEFabcdef", "6ffffffabcdefabcdef0000000000000" },
		{ 0x000001, "0123456789012345678901234567890123456789",
		  "60000010123456789012345678901234" },
	};
	char naa[SCSI_NAA_MAX + 1];
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		scsi_naa_from_serial(naa, names[i].company, names[i].serial);
		ck_assert_str_eq(naa, names[i].naa);
		ck_assert_uint_eq(scsi_naa_company(naa), names[i].company);
	}
}
END_TEST

/* Also of serial numbers with the same hex digits, or none; and no vendor has such names. */
START_TEST(names_differ)
{
	static const char *const serials[] = { "root", "pool", "swap", "x", "y", "", "a.img",
					       "xa.img", "disk-1", "disk-2" };
	struct scsi_lun lun[ARRAY_SIZE(serials)];
	unsigned i, k;

	for (i = 0; i < ARRAY_SIZE(serials); i++) {
		scsi_lun_init(&lun[i], &rig.ram->block, 0, serials[i]);
		ck_assert_uint_eq(strlen(lun[i].naa), 32);
		ck_assert_uint_eq(scsi_naa_company(lun[i].naa) >> 16 & 3, 2);
		for (k = 0; k < i; k++)
			ck_assert_str_ne(lun[i].naa, lun[k].naa);
	}
	for (i = 0; i < ARRAY_SIZE(serials); i++)
		scsi_lun_fini(&lun[i]);
}
END_TEST

START_TEST(attentions_in_order)
{
	uint8_t data[96] = { 0 };

	scsi_attention(&rig.lun, SENSE_REGISTRATIONS_PREEMPTED);
	scsi_attention(&rig.lun, SENSE_CAPACITY_CHANGED);
	scsi_attention(&rig.lun, SENSE_CAPACITY_CHANGED);
	scsi_attention(&rig.lun, SENSE_BUS_DEVICE_RESET);
	scsi_attention(&rig.lun, SENSE_POWER_ON);

	/* INQUIRY and REPORT LUNS leave them alone, an unknown command does, too. */
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x12, 0, 0, 0, 36), NULL, 0, data, 36), 0);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0xa0, [9] = 16), NULL, 0, data, 16), 0);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0xff), NULL, 0, NULL, 0), 0x052000);

	ck_assert_uint_eq(tur(), 0x062900);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x28, [8] = 1), NULL, 0, data, 0), 0x062903);
	/* REQUEST SENSE returns one as data, and clears it. */
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x03, [4] = 18), NULL, 0, data, 18), 0);
	ck_assert_mem_eq(data, "\x70\0\x06\0\0\0\0\x0a\0\0\0\0\x2a\x05", 14);
	ck_assert_uint_eq(tur(), 0x062a09);
	ck_assert_uint_eq(tur(), 0);
}
END_TEST

/* Whoever has read the new list need not be told of it, on no LUN of the target. */
START_TEST(report_luns_clears_its_attention)
{
	static struct scsi_lun near, far;
	uint8_t data[16];

	scsi_lun_init(&near, &rig.ram->block, 1, "near");
	scsi_lun_init(&far, &rig.ram->block, 0, "far");
	far.target = 1;
	rig_add(&rig, &near);
	rig_add(&rig, &far);
	scsi_attention(&rig.lun, SENSE_LUNS_CHANGED);
	scsi_attention(&near, SENSE_LUNS_CHANGED);
	scsi_attention(&far, SENSE_LUNS_CHANGED);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0xa0, [9] = 16), NULL, 0, data, 16), 0);
	ck_assert_uint_eq(tur(), 0);
	rig.lun_field[1] = 1;
	ck_assert_uint_eq(tur(), 0);
	rig.lun_field[1] = 0;
	rig.target = 1;
	ck_assert_uint_eq(tur(), 0x063f0e);
}
END_TEST

/* Each initiator hears of it, once; who caused it does not. */
START_TEST(attentions_of_two_initiators)
{
	struct scsi_rig_port other;

	rig_other_init(&rig, &other, 2);
	scsi_attention(&rig.lun, SENSE_CAPACITY_CHANGED);
	ck_assert_uint_eq(tur(), 0x062a09);
	ck_assert_uint_eq(tur(), 0);
	rig.other = &other;
	ck_assert_uint_eq(tur(), 0x062a09);
	scsi_attention_others(other.port.nexus[0], SENSE_MODE_PARAMETERS_CHANGED);
	ck_assert_uint_eq(tur(), 0);
	rig.other = NULL;
	ck_assert_uint_eq(tur(), 0x062a01);
	rig_other_fini(&other);
}
END_TEST

static uint32_t start_stop(uint8_t how)
{
	return scsi_run(&rig, CDB(0x1b, [4] = how), NULL, 0, NULL, 0);
}

/* Ejected, it answers what needs no medium; loaded again, it may be another one. */
START_TEST(eject_and_load)
{
	uint8_t data[512];

	ck_assert_uint_eq(start_stop(2), 0x052400);
	rig.lun.removable = true;
	ck_assert_uint_eq(start_stop(2), 0);
	ck_assert_uint_eq(tur(), 0x023a00);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x28, [8] = 1), NULL, 0, data, 512), 0x023a00);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x12, [4] = 36), NULL, 0, data, 36), 0);
	ck_assert_uint_eq(data[1], 0x80);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x03, [4] = 18), NULL, 0, data, 18), 0);
	ck_assert_uint_eq(data[12], 0x3a);
	ck_assert_uint_eq(start_stop(3), 0);
	ck_assert_uint_eq(tur(), 0x062800);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x28, [8] = 1), NULL, 0, data, 512), 0);
	ck_assert_uint_eq(data[9], rig_byte(9));
}
END_TEST

START_TEST(prevented_removal)
{
	struct scsi_rig_port other;

	rig.lun.removable = true;
	rig_other_init(&rig, &other, 2);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x1e, [4] = 1), NULL, 0, NULL, 0), 0);
	ck_assert_uint_eq(start_stop(2), 0x055302);
	rig.other = &other;
	ck_assert_uint_eq(start_stop(2), 0x055302);
	/* Each allows for itself. */
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x1e), NULL, 0, NULL, 0), 0);
	ck_assert_uint_eq(start_stop(2), 0x055302);
	ck_assert(scsi_lun_is_locked(&rig.lun));
	rig.other = NULL;
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x1e), NULL, 0, NULL, 0), 0);
	ck_assert_uint_eq(start_stop(2), 0);
	rig_other_fini(&other);
}
END_TEST

/* The image is changed under commands in flight. */
START_TEST(another_medium)
{
	struct ramstore *next = ramstore_open(8 * 512);
	struct scsi_flight flight = { .cmd.tag = 1 };
	uint8_t data[512];

	rig.lun.removable = true;
	rig.ram->hold = true;
	flight_start(&flight, &rig, CDB(0x28, [8] = 1), NULL, 0, data, 512);
	scsi_lun_eject(&rig.lun);
	rig.lun.block = NULL;
	ck_assert_int_eq(scsi_ctx_sync(&rig.ctx), 0);
	ck_assert_uint_eq(flight_result(&flight), RIG_RESPONSE(SCSI_RESPONSE_RESET));
	ck_assert_uint_eq(tur(), 0x023a00);

	memset(next->bytes, 0x77, 512);
	rig.lun.block = &next->block;
	ck_assert_int_eq(scsi_ctx_sync(&rig.ctx), 0);
	scsi_lun_load(&rig.lun);
	ck_assert_uint_eq(tur(), 0x062800);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x25), NULL, 0, data, 8), 0);
	ck_assert_uint_eq(be32_get(data), 7);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x28, [8] = 1), NULL, 0, data, 512), 0);
	ck_assert_uint_eq(data[511], 0x77);
	rig.lun.block = &rig.ram->block;
	ck_assert_int_eq(scsi_ctx_sync(&rig.ctx), 0);
	block_close(&next->block);
}
END_TEST

Suite *lun_suite(void)
{
	Suite *suite = suite_create("lun");
	TCase *tc = unit_case(suite, "lun");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, names_are_stable);
	tcase_add_test(tc, names_are_those_of_the_kernel);
	tcase_add_test(tc, names_differ);
	tcase_add_test(tc, attentions_in_order);
	tcase_add_test(tc, report_luns_clears_its_attention);
	tcase_add_test(tc, attentions_of_two_initiators);
	tcase_add_test(tc, eject_and_load);
	tcase_add_test(tc, prevented_removal);
	tcase_add_test(tc, another_medium);

	tc = unit_case(suite, "reborn"); /* saved, destroyed and restored before each command */
	tcase_add_checked_fixture(tc, setup_reborn, teardown);
	tcase_add_test(tc, attentions_in_order);
	return suite;
}

UNIT_MAIN(lun_suite)
