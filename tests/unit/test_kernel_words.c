/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "tests/lib/stderr.h"
#include "tests/lib/testbed.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/run/kernel/kernel_words.h"

Suite *kernel_words_suite(void);

static struct testbed tb;
static struct stderr_text said;

static void set_up(void)
{
	testbed_init(&tb);
}

static void tear_down(void)
{
	testbed_fini(&tb);
}

static const struct {
	const char *cmdline;
	bool triple;
} resets[] = {
	{ "", false },
	{ "quiet", false },
	{ "reboot=t", true },
	{ "reboot=triple", true },
	{ "  quiet\treboot=t  panic=-1", true },
	{ "\"reboot=t\" quiet", true },
	{ "reboot=\"t\"", true },
	{ "reboot=w,t,f", true },
	{ "reboot=t,force", true },
	{ "reboot=panic_warm,t", true },
	{ "reboot=k reboot=t", true },
	{ "reboot=t reboot=warm", true }, /* which is no way */
	{ "reboot=t,smp3", true },
	{ "reboot=t reboot=k", false },
	{ "reboot=t,a", false },
	{ "reboot=t,bios", false },
	{ "reboot=", false },
	{ "reboot", false },
	{ "reboot=,", false },
	{ "reboot=warm", false },
	{ "reboot=acpi", false },
	{ "reboot=p,f", false },
	{ "reboot=smp1,hard,efi", false },
	{ "xreboot=t", false },
	{ "init=/reboot=t", false },
	{ "-- reboot=t", false },
	{ "quiet -- sh reboot=t", false },
	{ "word=\"a reboot=t b\"", false },
};

START_TEST(way_to_reset)
{
	ck_assert_msg(kernel_words_triple_fault(resets[_i].cmdline) == resets[_i].triple, "%s",
		      resets[_i].cmdline);
}
END_TEST

static const char *warning(const char *cmdline)
{
	stderr_begin(&said);
	kernel_words_warn(cmdline, &tb.p);
	return stderr_end(&said);
}

/* There some words are wrong that others' kernels do not know, or can do without. */
static bool is_pc(void)
{
	return !strcmp(arch_kernel_option, "X86_64");
}

static void add(const char *text)
{
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, text), 0);
	ck_assert_int_eq(tb.devices.last->class->ready(tb.devices.last), 0);
}

START_TEST(words_that_hide_devices)
{
	ck_assert_str_eq(warning("pci=off"), ""); /* there are none */
	add("virtio-rng,transport=mmio");
	ck_assert_str_eq(warning("pci=off"), "");
	add("virtio-rng");
	ck_assert_str_eq(warning("pci=off"),
			 "lunette: warning: --append pci=off: the kernel will do without 1 device: "
			 "it looks for none on PCI; transport=mmio is for such kernels\n");
	add("virtio-rng");
	ck_assert_ptr_nonnull(strstr(warning("quiet pci=nommconf,nomsi"),
				     "pci=nomsi: the kernel will do without 2 devices: "));
	ck_assert(is_pc() == !!strstr(warning("pci=conf2"), "do without 2 devices: "));
}
END_TEST

static const char *const all[] = {
	"acpi=off", "acpi=noirq", "pci=noacpi", "noapic", "nolapic", "disableapic", "nosmp",
	"maxcpus=0",
};

START_TEST(words_that_hide_all)
{
	char wanted[100];

	snprintf(wanted, sizeof(wanted), "lunette: warning: --append %s: the kernel will most ",
		 all[_i]);
	ck_assert(is_pc() == !!strstr(warning(all[_i]), wanted));
	ck_assert(is_pc() || !*said.text);
}
END_TEST

START_TEST(words_that_do_not)
{
	add("virtio-rng");
	add("virtio-rng,transport=mmio");
	ck_assert_str_eq(warning("pci=nommconf acpi=ht pci= pci acpi xpci=off pci=offer maxcpus=1 "
				 "noapictimer \"x pci=off\" off nomsi -- pci=off acpi=off"), "");
}
END_TEST

Suite *kernel_words_suite(void)
{
	Suite *s = suite_create("kernel_words");
	TCase *tc = unit_case(s, "kernel_words");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, way_to_reset, 0, ARRAY_SIZE(resets));
	tcase_add_test(tc, words_that_hide_devices);
	tcase_add_loop_test(tc, words_that_hide_all, 0, ARRAY_SIZE(all));
	tcase_add_test(tc, words_that_do_not);
	return s;
}

UNIT_MAIN(kernel_words_suite)
