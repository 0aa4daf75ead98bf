/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "devices/disk_name.h"
#include "devices/scsi_disk.h"
#include "tests/lib/stderr.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"

Suite *disk_name_suite(void);

#define C60 "012345678901234567890123456789012345678901234567890123456789"

extern const struct device_class scsi_disk_class;

static struct stderr_text said;
static struct scsi_disk other[2];
static struct device_list list;

/* A disk of this serial number and NAA name is there. */
static void there(unsigned i, const char *serial, const char *naa)
{
	memset(&other[i], 0, sizeof(other[i]));
	other[i].dev.class = &scsi_disk_class;
	snprintf(other[i].dev.id, sizeof(other[i].dev.id), "other%u", i);
	snprintf(other[i].lun.serial, sizeof(other[i].lun.serial), "%s", serial);
	snprintf(other[i].lun.naa, sizeof(other[i].lun.naa), "%s", naa);
	other[i].dev.next = i ? &other[i - 1].dev : NULL;
	list.last = &other[i].dev;
}

static struct disk_name name_of(const char *path)
{
	return (struct disk_name){ .id = "d", .list = &list, .path = path, .bus = "s0", .lun = 3 };
}

static const struct {
	const char *path, *serial;
} rows[] = {
	{ "a.img", "a.img" },
	{ "/dir/a.img", "a.img" },
	{ "/dir with\nline/a b.img", "a b.img" },
	{ "x/" C60 "123", C60 "123" },
	{ "x/" C60 "1234", "file-" },
	{ "x/gr\303\274n.img", "file-d44a95ccb553abd2" },
	{ "elsewhere/gr\303\274n.img", "file-" },
	{ "gr\374n.img", "file-" },
	{ "a\nb", "file-" }, { "a\033[2J", "file-" }, { "a\177", "file-" },
	{ " a", "file-" }, { "a ", "file-" },
};

/* Names that serve stay; for others it is a digest that can be told beforehand. */
START_TEST(serial_of_a_file)
{
	struct disk_name n = name_of(rows[_i].path);
	const char *slash = strrchr(n.path, '/');
	char serial[SCSI_ID_MAX + 1], wanted[SCSI_ID_MAX + 1];

	list.last = NULL;
	snprintf(wanted, sizeof(wanted), "%s", rows[_i].serial);
	if (!strcmp(wanted, "file-")) {
		const char *file = slash ? slash + 1 : n.path;

		snprintf(wanted, sizeof(wanted), "file-%016llx",
			 (unsigned long long)hash_u64(file, strlen(file)));
	}
	ck_assert_int_eq(disk_name_serial(&n, serial), 0);
	ck_assert_str_eq(serial, wanted);
}
END_TEST

/* FNV-1a's own test vectors. */
START_TEST(digest_stays)
{
	ck_assert(hash_u64("", 0) == 0xcbf29ce484222325);
	ck_assert(hash_u64("a", 1) == 0xaf63dc4c8601ec8c);
	ck_assert(hash_u64("foobar", 6) == 0x85944171f73967e8);
}
END_TEST

START_TEST(names_differ)
{
	char first[SCSI_ID_MAX + 1], second[SCSI_ID_MAX + 1];
	struct disk_name n = name_of("1/" C60 "12");

	there(0, C60 "12", "");
	ck_assert_int_eq(disk_name_serial(&n, second), 0); /* the place finds no room behind it */
	ck_assert_str_eq(second + strlen("file-") + 16, "-s0-3");
	n = name_of("x/a.img");
	there(0, "a.img", "");
	ck_assert_int_eq(disk_name_serial(&n, second), 0);
	ck_assert_str_eq(second, "a.img-s0-3");
	n.target = 2;
	ck_assert_int_eq(disk_name_serial(&n, second), 0);
	ck_assert_str_eq(second, "a.img-s0-2-3");
	n = name_of("gr\303\274n");
	list.last = NULL;
	ck_assert_int_eq(disk_name_serial(&n, first), 0);
	there(0, first, "");
	ck_assert_int_eq(disk_name_serial(&n, second), 0);
	ck_assert_int_eq(strncmp(first, second, strlen(first)), 0);
	ck_assert_str_eq(second + strlen(first), "-s0-3");
}
END_TEST

static const struct {
	const char *serial, *wwn, *line;
	int err;
} refused[] = {
	{ C60 "1234", NULL, "has 64 characters, 1 to 63 are wanted", -EUSAGE },
	{ "a\tb", NULL, "d: serial=a\\tb: character 2 is not printable ASCII", -EUSAGE },
	{ "gr\303\274n", NULL, "character 3 is not printable ASCII", -EUSAGE },
	{ "first", NULL, "d: serial=first: is in use by other0; give another serial=", -EUSAGE },
	{ "x", "1000000000000000", "16 hex digits are wanted", -EUSAGE },
	{ "x", "", "16 hex digits are wanted", -EUSAGE },
	{ "x", "5000C50012345678", "d: wwn=5000c50012345678: is in use by other1", -EUSAGE },
};

START_TEST(what_the_user_says)
{
	struct disk_name n = name_of("a.img");
	char serial[SCSI_ID_MAX + 1], naa[SCSI_NAA_MAX + 1] = "60";
	int r;

	there(0, "first", "");
	there(1, "second", "5000c50012345678");
	n.serial = refused[_i].serial;
	n.wwn = refused[_i].wwn;
	stderr_begin(&said);
	r = disk_name_serial(&n, serial);
	if (!r)
		r = disk_name_naa(&n, naa);
	stderr_end(&said);
	ck_assert_int_eq(r, refused[_i].err);
	ck_assert_msg(strstr(said.text, refused[_i].line), "%s", said.text);
}
END_TEST

START_TEST(naa)
{
	struct disk_name n = name_of("a.img");
	char text[SCSI_NAA_MAX + 1] = "60";

	list.last = NULL;
	ck_assert_int_eq(disk_name_naa(&n, text), 0);
	ck_assert_str_eq(text, "60");
	n.wwn = "5000C500ABCDEF01";
	ck_assert_int_eq(disk_name_naa(&n, text), 0);
	ck_assert_str_eq(text, "5000c500abcdef01");
}
END_TEST

Suite *disk_name_suite(void)
{
	Suite *s = suite_create("disk_name");
	TCase *tc = unit_case(s, "disk_name");

	tcase_add_loop_test(tc, serial_of_a_file, 0, ARRAY_SIZE(rows));
	tcase_add_test(tc, digest_stays);
	tcase_add_test(tc, names_differ);
	tcase_add_loop_test(tc, what_the_user_says, 0, ARRAY_SIZE(refused));
	tcase_add_test(tc, naa);
	return s;
}

UNIT_MAIN(disk_name_suite)
