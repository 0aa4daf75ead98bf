/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/scsi/scsi.h"
#include "tests/lib/fakelio.h"
#include "tests/lib/stderr.h"
#include "vmm/core/util.h"

Suite *lio_suite(void);

static struct fakelio *tree;
static struct lio *lio;
static struct why why;
static struct stderr_text said;
static char image[] = "/tmp/lunette-lio-image-XXXXXX";
static struct block *block;
static struct block null_block = { .path = "null", .size = MIB(1) };
static struct scsi_lun lun[3];
static struct scsi_port target;
static unsigned nluns;

static void add_lun(unsigned i, struct block *b, uint16_t number, const char *serial)
{
	scsi_lun_init(&lun[i], b, number, serial);
	nluns = i + 1;
	ck_assert_int_eq(scsi_port_add(&target, &lun[i]), 0);
}

static void set_up(void)
{
	struct block_open how = { .path = image };
	int fd;

	strcpy(image + strlen(image) - 6, "XXXXXX");
	fd = mkstemp(image);
	ck_assert_int_eq(ftruncate(fd, MIB(2)), 0);
	close(fd);
	ck_assert_int_eq(block_open(&how, &block), 0);
	scsi_port_init(&target, 1);
	nluns = 0;
	lio = NULL;
	tree = fakelio_open();
}

static void tear_down(void)
{
	unsigned i;

	lio_destroy(lio);
	fakelio_close(tree);
	scsi_port_fini(&target);
	for (i = 0; i < nluns; i++)
		scsi_lun_fini(&lun[i]);
	block_close(block);
	unlink(image);
}

static int create(void)
{
	memset(&why, 0, sizeof(why));
	return lio_create(&tree->tree, "s0", &target, &lio, &why);
}

/* An attribute of the store of LUN @number. */
static const char *store(unsigned number, const char *attribute)
{
	char path[300];

	snprintf(path, sizeof(path), "core/fileio_%u/%s:%u/%s", 1000000000u + getpid(),
		 lio_wwn(lio) + 4, number, attribute);
	return fakelio_text(tree, path);
}

/* As the kernel has it in its tree. */
static void put_dbroot(const char *dir)
{
	FILE *f = fopen(fakelio_path(tree, "dbroot"), "w");

	fprintf(f, "%s\n", dir);
	fclose(f);
}

START_TEST(a_target_of_two)
{
	char wanted[200], link[300], to[300];
	ssize_t len;

	add_lun(0, block, 0, "first");
	add_lun(1, block, 255, "the second");
	lun[0].discard = true;
	lun[1].discard = false;
	lun[1].block_size = 4096;
	block->rotational = true;
	ck_assert_int_eq(create(), 0);
	ck_assert_uint_eq(fakelio_count(tree), 1 + 2 + 2 + 2 + 2);

	snprintf(wanted, sizeof(wanted),
		 "fd_dev_name=/proc/self/fd/%d,fd_dev_size=2097152,fd_buffered_io=1", block->fd);
	ck_assert_str_eq(store(0, "control"), wanted);
	ck_assert_str_eq(store(0, "enable"), "1");
	ck_assert_str_eq(store(0, "wwn/vendor_id"), "LUNETTE");
	ck_assert_str_eq(store(0, "wwn/product_id"), "DISK");
	ck_assert_str_eq(store(0, "wwn/revision"), lun[0].revision);
	ck_assert_str_eq(store(0, "wwn/vpd_unit_serial"), "first");
	ck_assert_str_eq(store(255, "wwn/vpd_unit_serial"), "the second");
	snprintf(wanted, sizeof(wanted), "0x%.6s", lun[1].naa + 1);
	ck_assert_str_eq(store(255, "wwn/company_id"), wanted);
	ck_assert_str_eq(store(0, "attrib/block_size"), "512");
	ck_assert_str_eq(store(255, "attrib/block_size"), "4096");
	ck_assert_str_eq(store(0, "attrib/emulate_tpu"), "1");
	ck_assert_str_eq(store(0, "attrib/emulate_tpws"), "1");
	ck_assert_str_eq(store(0, "attrib/unmap_zeroes_data"), "1");
	ck_assert_str_eq(store(255, "attrib/emulate_tpu"), "0");
	ck_assert_str_eq(store(255, "attrib/unmap_zeroes_data"), "");
	ck_assert_str_eq(store(0, "attrib/is_nonrot"), "0");

	snprintf(link, sizeof(link), "vhost/%s/tpgt_0/nexus", lio_wwn(lio));
	ck_assert_ptr_eq(strstr(fakelio_text(tree, link), "naa."), fakelio_text(tree, link));
	len = readlink(fakelio_path(tree, "vhost/%s/tpgt_0/lun/lun_255/disk", lio_wwn(lio)), to,
		       sizeof(to) - 1);
	ck_assert_int_gt(len, 0);
	to[len] = 0;
	snprintf(wanted, sizeof(wanted), "%s:255", lio_wwn(lio) + 4);
	ck_assert_ptr_nonnull(strstr(to, wanted));

	lio_destroy(lio);
	lio = NULL;
	ck_assert_uint_eq(fakelio_count(tree), 0);
}
END_TEST

START_TEST(a_target_of_none)
{
	ck_assert_int_eq(create(), 0);
	ck_assert_uint_eq(fakelio_count(tree), 2);
}
END_TEST

/* Whichever step fails, with whatever: nothing is left, and the reason is told. */
START_TEST(every_step_can_fail)
{
	static const int errors[] = { EACCES, ENOENT, EBUSY, EINVAL, EIO };
	unsigned steps, i, k;

	add_lun(0, block, 0, "first");
	add_lun(1, block, 1, "second");
	ck_assert_int_eq(create(), 0);
	lio_destroy(lio);
	lio = NULL;
	steps = tree->made;
	ck_assert_uint_gt(steps, 30);
	for (i = 1; i <= steps; i++) {
		for (k = 0; k < ARRAY_SIZE(errors); k++) {
			tree->made = 0;
			tree->fail_at = i;
			tree->fail_with = errors[k];
			ck_assert_int_eq(create(), -errors[k]);
			ck_assert_msg(strstr(why.text, ": ") && strstr(why.text, "; "), "%s",
				      why.text);
			ck_assert_ptr_null(lio);
			ck_assert_uint_eq(fakelio_count(tree), 0);
		}
	}
}
END_TEST

static bool has_lun(unsigned number)
{
	char path[300];

	snprintf(path, sizeof(path), "vhost/%s/tpgt_0/lun/lun_%u", lio_wwn(lio), number);
	return fakelio_has(tree, path);
}

/* While a guest uses it: one comes and goes, and the others stay. */
START_TEST(luns_come_and_go)
{
	struct stderr_text err;
	unsigned before, i;

	add_lun(0, block, 0, "first");
	ck_assert_int_eq(create(), 0);
	before = fakelio_count(tree);
	add_lun(1, block, 7, "second");
	for (i = 0; i < 3; i++) {
		ck_assert_int_eq(lio_add(lio, &lun[1], &why), 0);
		ck_assert(has_lun(7));
		ck_assert_uint_eq(fakelio_count(tree), before + 3); /* store, LUN, link */
		ck_assert_str_eq(store(7, "wwn/vpd_unit_serial"), "second");
		ck_assert_int_eq(lio_remove(lio, &lun[1]), 0);
		ck_assert(!has_lun(7));
		ck_assert(has_lun(0));
		ck_assert_uint_eq(fakelio_count(tree), before);
	}
	ck_assert_int_eq(lio_remove(lio, &lun[1]), 0); /* what is not there */
	ck_assert_int_eq(lio_add(lio, &lun[1], &why), 0);
	tree->stuck = true;
	stderr_begin(&err);
	ck_assert_int_eq(lio_remove(lio, &lun[1]), -EBUSY);
	ck_assert_ptr_nonnull(strstr(stderr_end(&err), "cannot be removed: Device or resource"));
	ck_assert(has_lun(7));
	tree->stuck = false;
}
END_TEST

/* At whatever step one that comes fails, there is a reason, and nothing of it is left. */
START_TEST(one_that_comes_can_fail)
{
	unsigned before, step, steps;

	add_lun(0, block, 0, "first");
	ck_assert_int_eq(create(), 0);
	before = fakelio_count(tree);
	add_lun(1, block, 1, "second");
	steps = tree->made;
	ck_assert_int_eq(lio_add(lio, &lun[1], &why), 0);
	steps = tree->made - steps;
	ck_assert_uint_gt(steps, 5);
	ck_assert_int_eq(lio_remove(lio, &lun[1]), 0);
	for (step = 1; step <= steps; step++) {
		why.text[0] = 0;
		tree->fail_at = tree->made + step;
		tree->fail_with = EACCES;
		ck_assert_int_eq(lio_add(lio, &lun[1], &why), -EACCES);
		ck_assert_str_ne(why.text, "");
		ck_assert(!has_lun(1));
		ck_assert_uint_eq(fakelio_count(tree), before);
	}
}
END_TEST

/* The kernel wants a folder, for persistent reservations, that nobody makes for it. */
START_TEST(folder_of_reservations)
{
	char base[200];
	struct stderr_text err;

	snprintf(base, sizeof(base), "%s-db", tree->root);
	put_dbroot(base);
	add_lun(0, block, 0, "first");
	ck_assert_int_eq(create(), 0);
	strcat(base, "/pr");
	ck_assert_int_eq(access(base, F_OK), 0);
	lio_destroy(lio); /* it stays, for others use it, and is no obstacle */
	ck_assert_int_eq(access(base, F_OK), 0);
	ck_assert_int_eq(create(), 0);
	lio_destroy(lio);
	rmdir(base);
	*strrchr(base, '/') = 0;
	rmdir(base);
	put_dbroot("/proc/nowhere");
	stderr_begin(&err);
	ck_assert_int_eq(create(), 0);
	ck_assert_ptr_nonnull(strstr(stderr_end(&err), "/proc/nowhere/pr: cannot be made: No"));
	ck_assert_ptr_nonnull(strstr(err.text, "sudo mkdir -p /proc/nowhere/pr"));
}
END_TEST

START_TEST(others_are_left_alone)
{
	struct lio *second;
	unsigned foreign;

	fakelio_add(tree, "fileio_0", "disk", "naa.5001405000000001");
	foreign = fakelio_count(tree);
	add_lun(0, block, 0, "first");
	ck_assert_int_eq(create(), 0);
	ck_assert_int_eq(lio_create(&tree->tree, "s1", &target, &second, &why), 0);
	lio_destroy(second);
	ck_assert_uint_eq(fakelio_count(tree), foreign + 6);
	lio_destroy(lio);
	lio = NULL;
	ck_assert_uint_eq(fakelio_count(tree), foreign);
}
END_TEST

/* A LUN that somebody has added to our target goes with it; his store stays. */
START_TEST(added_by_hand)
{
	char to[200], path[300];

	ck_assert_int_eq(create(), 0);
	fakelio_add(tree, "fileio_0", "disk", "naa.5001405000000001");
	snprintf(to, sizeof(to), "%s", fakelio_path(tree, "core/fileio_0/disk"));
	tree->tree.make(fakelio_path(tree, "vhost/%s/tpgt_0/lun/lun_9", lio_wwn(lio)));
	snprintf(path, sizeof(path), "%s",
		 fakelio_path(tree, "vhost/%s/tpgt_0/lun/lun_9/any", lio_wwn(lio)));
	ck_assert_int_eq(tree->tree.link(to, path), 0);
	lio_destroy(lio);
	lio = NULL;
	ck_assert_uint_eq(fakelio_count(tree), 6);
	ck_assert(fakelio_has(tree, "core/fileio_0/disk"));
}
END_TEST

START_TEST(dead_runs_are_swept_away)
{
	char wwn[100], hba[64];
	unsigned long long start, space;
	long pid;

	ck_assert_int_eq(create(), 0);
	ck_assert_int_eq(sscanf(lio_wwn(lio), "naa.lunette-%ld-%llu-%llu:", &pid, &start, &space),
			 3);
	lio_destroy(lio);
	lio = NULL;
	snprintf(wwn, sizeof(wwn), "naa.lunette-%ld-%llu-%llu:s0", pid, start + 1, space);
	snprintf(hba, sizeof(hba), "iblock_%ld", 1000000000 + pid);
	fakelio_add(tree, hba, wwn + 4, wwn);
	ck_assert_int_eq(create(), 0);
	ck_assert_uint_eq(fakelio_count(tree), 3);
	lio_destroy(lio);
	lio = NULL;
	ck_assert_uint_eq(fakelio_count(tree), 0);
}
END_TEST

START_TEST(a_store_of_ours_alone)
{
	add_lun(0, &null_block, 0, "null");
	ck_assert_int_eq(create(), -ENOTSUP);
	ck_assert_str_eq(why.text, "null: its store is ours alone; the kernel's target takes files "
			 "and block devices");
	ck_assert_uint_eq(fakelio_count(tree), 0);
}
END_TEST

START_TEST(names_that_the_kernel_does_not_show)
{
	add_lun(0, block, 0, "first");
	strcpy(lun[0].naa, "5000c50012345678");
	ck_assert_int_eq(create(), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(why.text, "wwn=5000c50012345678: "));
	strcpy(lun[0].naa, "6123456f000000000000000000000000");
	ck_assert_int_eq(create(), 0); /* by another company, it can be had */
	ck_assert_str_eq(store(0, "wwn/company_id"), "0x123456");
	lio_destroy(lio);
	lio = NULL;
	strcpy(lun[0].naa, "6123456f000000000000000000000001");
	ck_assert_int_eq(create(), -EOPNOTSUPP);
	strcpy(lun[0].naa, "6123456f000000000000000000000000");
	strcpy(lun[0].serial, "first ");
	ck_assert_int_eq(create(), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(why.text, "serial=first : "));
	strcpy(lun[0].serial, "first");
	lun[0].lun = 256;
	ck_assert_int_eq(create(), -EOPNOTSUPP);
	ck_assert_str_eq(why.text, "lun=256: the kernel's target takes numbers up to 255");
	ck_assert_uint_eq(fakelio_count(tree), 0);
}
END_TEST

START_TEST(no_configfs)
{
	struct lio_tree none = tree->tree;

	none.root = "/nonexistent/target";
	ck_assert_int_eq(lio_create(&none, "s0", &target, &lio, &why), -ENODEV);
	ck_assert_str_eq(why.text, "/nonexistent: configfs is not mounted; "
			 "mount -t configfs none /nonexistent");
}
END_TEST

START_TEST(no_right_to_it)
{
	tree->fail_at = 2;
	tree->fail_with = EACCES;
	ck_assert_int_eq(create(), -EACCES);
	ck_assert_ptr_nonnull(strstr(why.text, "Permission denied; it takes root"));
}
END_TEST

/* What cannot be removed at the end is told. */
START_TEST(stuck_at_the_end)
{
	add_lun(0, block, 0, "first");
	ck_assert_int_eq(create(), 0);
	tree->stuck = true;
	stderr_begin(&said);
	lio_destroy(lio);
	lio = NULL;
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "error: "));
	ck_assert_ptr_nonnull(strstr(said.text, "'lunette clean' tries again"));
}
END_TEST

Suite *lio_suite(void)
{
	Suite *s = suite_create("lio");
	TCase *tc = unit_case(s, "lio");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_target_of_two);
	tcase_add_test(tc, a_target_of_none);
	tcase_add_test(tc, every_step_can_fail);
	tcase_add_test(tc, luns_come_and_go);
	tcase_add_test(tc, one_that_comes_can_fail);
	tcase_add_test(tc, folder_of_reservations);
	tcase_add_test(tc, others_are_left_alone);
	tcase_add_test(tc, added_by_hand);
	tcase_add_test(tc, dead_runs_are_swept_away);
	tcase_add_test(tc, a_store_of_ours_alone);
	tcase_add_test(tc, names_that_the_kernel_does_not_show);
	tcase_add_test(tc, no_configfs);
	tcase_add_test(tc, no_right_to_it);
	tcase_add_test(tc, stuck_at_the_end);
	return s;
}

UNIT_MAIN(lio_suite)
