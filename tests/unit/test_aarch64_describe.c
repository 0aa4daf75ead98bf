/* SPDX-License-Identifier: MIT */
/*
 * The tree of a machine with two CPUs, a device of each kind, and an initrd, as "dtc" prints it,
 * against one that was written by hand; and what changes it.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "tests/lib/testbed.h"
#include "vmm/core/irq.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/aarch64/arm.h"
#include "vmm/machine/arch/aarch64/layout.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/arch/linux_image.h"

Suite *aarch64_describe_suite(void);

#define TREE_AT (RAM_AT + MIB(64) - TREE_ROOM)

static struct testbed tb;
static struct mem ram;
static struct arch_vm arm;
static struct vm vm = { .arch = &arm };
static struct arch_entry entry;
static struct stderr_text said;
static char folder[40];

/* Interrupts are nobody's business here, and the chip is the VM. */
static int chip_bind(void *chip, const struct irq *irq)
{
	(void)chip, (void)irq;
	return 0;
}

static void chip_unbind(void *chip, const struct irq *irq)
{
	(void)chip, (void)irq;
}

static const struct irqchip_ops chip = { .bind = chip_bind, .unbind = chip_unbind };

static void set_up(void)
{
	strcpy(folder, "/tmp/lunette-tree-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	testbed_init(&tb);
	device_destroy_all(&tb.fixed);
	memset(&ram, 0, sizeof(ram));
	ck_assert_int_eq(mem_add(&ram, RAM_AT, MIB(64)), 0);
	memset(tb.p.place, 0, sizeof(tb.p.place));
	tb.p.irqchip = &chip;
	tb.p.chip = &vm;
	tb.p.mem = &ram;
	tb.p.cpus = 2;
	arm = (struct arch_vm){ .gic = 0, .its = 0, .v3 = true, .pmu = true, .mpidr = { 0, 1 } };
	entry = (struct arch_entry){ .pc = RAM_AT, .arg = TREE_AT, .cmdline = "quiet panic=-1",
				     .initrd_at = RAM_AT + MIB(48), .initrd_size = 0x123456 };
}

static void tear_down(void)
{
	char command[100];

	testbed_fini(&tb);
	mem_free(&ram);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	ck_assert_int_eq(system(command), 0);
}

static const void *describe(void)
{
	arm_place_devices(&tb.p, !tb.p.no_pci);
	ck_assert_int_eq(arch_platform_devices(&tb.p, &tb.devices), 0);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "virtio-rng,transport=mmio"), 0);
	ck_assert_int_eq(device_ready_all(&tb.devices), 0);
	ck_assert_int_eq(arch_describe(&tb.p, &entry), 0);
	return mem_ptr(&ram, TREE_AT, TREE_ROOM, 8);
}

/* Runs a command in the folder, "$dir", that has nothing to say. */
static void run(const char *command)
{
	char text[1000];
	size_t len;
	FILE *f;

	ck_assert_int_eq(setenv("dir", folder, 1), 0);
	f = popen(command, "r");
	ck_assert_ptr_nonnull(f);
	len = fread(text, 1, sizeof(text) - 1, f);
	text[len] = 0;
	ck_assert_int_eq(pclose(f), 0);
	ck_assert_str_eq(text, "");
}

START_TEST(as_written_by_hand)
{
	const void *tree = describe();
	char path[60];
	FILE *f;

	snprintf(path, sizeof(path), "%s/tree", folder);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(tree, fdt_totalsize(tree), 1, f), 1);
	ck_assert_int_eq(fclose(f), 0);
	run("dtc -I dtb -O dts -o $dir/ours $dir/tree 2>&1");
	run("dtc -I dts -O dtb -o $dir/wanted tests/unit/aarch64.dts 2>&1");
	run("dtc -I dtb -O dts $dir/wanted 2>&1 | diff - $dir/ours || :");
	ck_assert_ptr_nonnull(device_find(&tb.devices, "pvpanic", NULL)); /* PCI tells of it */
}
END_TEST

/* The nodes that there are only where the machine has the thing. */
START_TEST(what_is_not_there)
{
	const void *tree;
	int chosen;

	arm.pmu = false;
	entry.initrd_size = 0;
	tree = describe();
	ck_assert_int_eq(fdt_path_offset(tree, "/pmu"), -FDT_ERR_NOTFOUND);
	ck_assert_int_eq(fdt_path_offset(tree, "/serial@9001000"), -FDT_ERR_NOTFOUND);
	chosen = fdt_path_offset(tree, "/chosen");
	ck_assert_ptr_null(fdt_getprop(tree, chosen, "linux,initrd-start", NULL));
	ck_assert_str_eq(fdt_getprop(tree, chosen, "bootargs", NULL), "quiet panic=-1");
}
END_TEST

/* A GICv2 takes no messages: no PCI, and timers say which CPUs have them. */
START_TEST(old_controller)
{
	const fdt32_t *cell;
	const void *tree;

	arm.v3 = false;
	arm.its = -1;
	tb.p.no_pci = "of a test";
	tree = describe();
	ck_assert_int_ge(fdt_path_offset(tree, "/virtio_mmio@a000000"), 0);
	ck_assert_int_eq(fdt_path_offset(tree, "/pci@3f000000"), -FDT_ERR_NOTFOUND);
	ck_assert_ptr_null(device_find(&tb.devices, "pvpanic", NULL));
	ck_assert_int_eq(fdt_node_check_compatible(tree,
			 fdt_path_offset(tree, "/interrupt-controller@8000000"),
			 "arm,cortex-a15-gic"), 0);
	cell = fdt_getprop(tree, fdt_path_offset(tree, "/timer"), "interrupts", NULL);
	ck_assert_uint_eq(fdt32_to_cpu(cell[2]), 0x308);
}
END_TEST

START_TEST(all_that_there_can_be)
{
	const void *tree;
	unsigned i;

	tb.p.cpus = MACHINE_CPUS_MAX;
	for (i = 0; i < MACHINE_CPUS_MAX; i++)
		arm.mpidr[i] = i / 16 << 8 | i % 16;
	arm_place_devices(&tb.p, true);
	for (i = 0; i < PLATFORM_SLOTS - 1; i++) {
		struct mmio_slot slot;

		ck_assert_int_eq(platform_slot_alloc(&tb.p, 0x1000, &slot), 0);
	}
	ck_assert_int_eq(arch_describe(&tb.p, &entry), 0);
	tree = mem_ptr(&ram, TREE_AT, TREE_ROOM, 8);
	ck_assert_int_ge(fdt_path_offset(tree, "/cpus/cpu@30f"), 0);
	ck_assert_int_ge(fdt_path_offset(tree, "/virtio_mmio@a01e000"), 0);
}
END_TEST

/* The most that --memory takes, nobody's before it is used. */
START_TEST(half_a_tebibyte)
{
	const fdt64_t *reg;
	struct mem most = { 0 };
	const void *tree;
	char name[40];
	int len;

	ck_assert_int_eq(mem_add(&most, RAM_AT, GIB(512)), 0);
	tb.p.mem = &most;
	arm_place_devices(&tb.p, true);
	ck_assert_int_eq(arch_describe(&tb.p, &entry), 0);
	tree = mem_ptr(&most, TREE_AT, TREE_ROOM, 8);
	snprintf(name, sizeof(name), "/memory@%llx", RAM_AT);
	reg = fdt_getprop(tree, fdt_path_offset(tree, name), "reg", &len);
	ck_assert_int_eq(len, 16);
	ck_assert_uint_eq(fdt64_ld(&reg[0]), RAM_AT);
	ck_assert_uint_eq(fdt64_ld(&reg[1]), GIB(512));
	ck_assert_uint_lt(RAM_AT + GIB(512), 1ull << 40); /* addresses, on any host */
	mem_free(&most);
}
END_TEST

/* The command line is the only part without a bound of its own; this one is far beyond it. */
START_TEST(no_room)
{
	static char words[TREE_ROOM];

	memset(words, 'x', sizeof(words) - 1);
	entry.cmdline = words;
	stderr_begin(&said);
	ck_assert_int_eq(arch_describe(&tb.p, &entry), -ENOSPC);
	ck_assert_str_eq(stderr_end(&said),
			 "lunette: error: the guest's device tree: FDT_ERR_NOSPACE\n");
}
END_TEST

Suite *aarch64_describe_suite(void)
{
	Suite *s = suite_create("aarch64_describe");
	TCase *tc = unit_case(s, "tree");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, as_written_by_hand);
	tcase_add_test(tc, what_is_not_there);
	tcase_add_test(tc, old_controller);
	tcase_add_test(tc, all_that_there_can_be);
	tcase_add_test(tc, half_a_tebibyte);
	tcase_add_test(tc, no_room);
	return s;
}

UNIT_MAIN(aarch64_describe_suite)
