/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "tests/lib/testbed.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/run/kernel/kernel_check.h"
#include "vmm/run/kernel/kernel_config.h"

Suite *kernel_check_suite(void);

static struct stderr_text said;
static struct testbed tb;
static char *printed;
static unsigned missing;

static void set_up(void)
{
	testbed_init(&tb);
}

static void tear_down(void)
{
	device_destroy_all(&tb.devices);
	testbed_fini(&tb);
	free(printed);
}

static void check(const char *text, const struct device_list *list)
{
	struct kernel_config config = { .text = (char *)text };
	size_t len;
	FILE *out;

	free(printed);
	out = open_memstream(&printed, &len);
	ck_assert_ptr_nonnull(out);
	missing = kernel_check_print(&config, list, out);
	fclose(out);
}

static bool printed_line(const char *line)
{
	size_t len = strlen(line);
	const char *at;

	for (at = printed; at; at = strchr(at, '\n'), at = at ? at + 1 : NULL) {
		if (!strncmp(at, line, len) && at[len] == '\n')
			return true;
	}
	return false;
}

START_TEST(nothing_is_there)
{
	check("", NULL);
	ck_assert_uint_gt(missing, 15);
	ck_assert(printed_line("CONFIG_SCSI_VIRTIO=y   # virtio-scsi: the SCSI controller"));
	ck_assert(printed_line("CONFIG_VIRTIO_BLK=y   # virtio-blk: disks without SCSI"));
	ck_assert(printed_line("CONFIG_PROC_FS=y   # /proc"));
	ck_assert(printed_line("# CONFIG_CHR_DEV_SG=y   # scsi-disk: SCSI commands from programs; "
			       "works without"));
}
END_TEST

/* What is printed, added to the configuration, is what was missing. */
START_TEST(cured_by_what_is_printed)
{
	char *cure, *c;

	check("", NULL);
	cure = strdup(printed);
	while ((c = strstr(cure, "# CONFIG_")))
		memmove(c, c + 2, strlen(c + 2) + 1);
	check(cure, NULL);
	ck_assert_uint_eq(missing, 0);
	ck_assert_str_eq(printed, "");
	free(cure);
}
END_TEST

START_TEST(modules)
{
	check("CONFIG_SCSI_VIRTIO=m\nCONFIG_PCI=m\nCONFIG_CHR_DEV_SG=m\n", NULL);
	ck_assert(printed_line("# CONFIG_SCSI_VIRTIO=y   # virtio-scsi: the SCSI controller; is a "
			       "module: an initrd has to load it"));
	ck_assert(printed_line("CONFIG_PCI=y   # pci-host: where virtio devices are"));
	ck_assert_ptr_null(strstr(printed, "CHR_DEV_SG"));
}
END_TEST

START_TEST(only_devices_that_are_there)
{
	check("", &tb.devices);
	ck_assert_ptr_nonnull(strstr(printed, "CONFIG_PROC_FS="));
	ck_assert_ptr_null(strstr(printed, "VIRTIO_PCI"));
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "virtio-rng"), 0);
	check("", &tb.devices);
	ck_assert_ptr_nonnull(strstr(printed, "CONFIG_VIRTIO_PCI="));
	ck_assert_ptr_nonnull(strstr(printed, "CONFIG_HW_RANDOM_VIRTIO="));
	ck_assert_ptr_null(strstr(printed, "SCSI"));
}
END_TEST

START_TEST(every_class_is_known) /* but those that need no driver, or their controller's */
{
	static const char none[] = " rtc pl031 goldfish-rtc acpi-pm i8042 nmi-status console-port ";
	char text[64];
	unsigned i;

	check("", NULL);
	for (i = 0; device_classes[i]; i++) {
		snprintf(text, sizeof(text), " %s ", device_classes[i]->name);
		if (strstr(none, text))
			continue;
		snprintf(text, sizeof(text), "# %s: ", device_classes[i]->name);
		ck_assert_msg(strstr(printed, text), "no row for %s", device_classes[i]->name);
	}
}
END_TEST

static const char *warning(const char *kernel, bool initrd)
{
	stderr_begin(&said);
	ck_assert_int_eq(kernel_check_warn(kernel, NULL, &tb.devices, initrd), 0);
	return stderr_end(&said);
}

START_TEST(warnings)
{
	char dir[] = "/tmp/lunette-check-XXXXXX", kernel[64], config[64], *cure, *c;
	FILE *f;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(kernel, sizeof(kernel), "%s/vmlinuz-1", dir);
	snprintf(config, sizeof(config), "%s/config-1", dir);
	ck_assert_str_eq(warning(kernel, false), "");

	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "virtio-rng"), 0);
	check("", &tb.devices);
	cure = strdup(printed);
	c = strstr(cure, "CONFIG_HW_RANDOM_VIRTIO=y");
	ck_assert_ptr_nonnull(c);
	strchr(c, '=')[1] = 'm';
	f = fopen(config, "w");
	fputs(cure, f);
	fclose(f);
	ck_assert_str_eq(warning(kernel, true), "");
	ck_assert_ptr_nonnull(strstr(warning(kernel, false),
				     "config-1: CONFIG_HW_RANDOM_VIRTIO (a module); "));

	f = fopen(config, "w");
	fputs("CONFIG_HW_RANDOM_VIRTIO=y\n", f);
	fclose(f);
	ck_assert_ptr_nonnull(strstr(warning(kernel, true), "BLK_DEV_INITRD, CONFIG_BINFMT"));
	ck_assert_ptr_null(strstr(warning(kernel, false), "CONFIG_BLK_DEV_INITRD"));
	ck_assert_ptr_null(strstr(warning(kernel, false), "HW_RANDOM_VIRTIO"));
	free(cure);
	unlink(config);
	rmdir(dir);
}
END_TEST

Suite *kernel_check_suite(void)
{
	Suite *suite = suite_create("kernel_check");
	TCase *tc = unit_case(suite, "options");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, nothing_is_there);
	tcase_add_test(tc, cured_by_what_is_printed);
	tcase_add_test(tc, modules);
	tcase_add_test(tc, only_devices_that_are_there);
	tcase_add_test(tc, every_class_is_known);
	tcase_add_test(tc, warnings);
	return suite;
}

UNIT_MAIN(kernel_check_suite)
