/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/run/kernel/kernel_config.h"
#include "vmm/run/kernel/kernel_needs.h"

Suite *kernel_needs_suite(void);

static const struct kernel_need *needs_of(const char *text)
{
	struct kernel_config config = { .text = (char *)text };

	return kernel_needs_of(&config);
}

static bool has(const struct kernel_need *needs, const char *option)
{
	while (needs->option && strcmp(needs->option, option))
		needs++;
	return needs->option;
}

/* Each has what no other one knows. */
START_TEST(of_the_kernels_architecture)
{
	static const struct {
		const char *config, *option;
	} rows[] = {
		{ "CONFIG_X86_64=y\n", "ACPI" },
		{ "CONFIG_ARM64=y\n", "ARM_GIC_V3" },
		{ "CONFIG_RISCV=y\n", "RISCV_SBI" },
	};
	unsigned i, j;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		for (j = 0; j < ARRAY_SIZE(rows); j++)
			ck_assert_int_eq(has(needs_of(rows[i].config), rows[j].option), i == j);
	}
}
END_TEST

START_TEST(of_this_one_where_it_does_not_say)
{
	char text[64];

	snprintf(text, sizeof(text), "CONFIG_SMP=y\nCONFIG_%s=y\n", arch_kernel_option);
	ck_assert_ptr_eq(needs_of(""), needs_of(text));
	ck_assert_ptr_eq(needs_of("# CONFIG_ARM64 is not set\nCONFIG_RISCV=n\n"), needs_of(text));
}
END_TEST

START_TEST(nothing_is_said_twice) /* by one architecture and by all */
{
	static const char *const configs[] = {
		"CONFIG_X86_64=y\n", "CONFIG_ARM64=y\n", "CONFIG_RISCV=y\n"
	};
	const struct kernel_need *need = needs_of(configs[_i]);

	for (; need->option; need++) {
		ck_assert(!has(kernel_needs, need->option));
		ck_assert(!has(need + 1, need->option));
		ck_assert_uint_gt(strlen(need->why), 3);
	}
}
END_TEST

Suite *kernel_needs_suite(void)
{
	Suite *suite = suite_create("kernel_needs");
	TCase *tc = unit_case(suite, "tables");

	tcase_add_test(tc, of_the_kernels_architecture);
	tcase_add_test(tc, of_this_one_where_it_does_not_say);
	tcase_add_loop_test(tc, nothing_is_said_twice, 0, 3);
	return suite;
}

UNIT_MAIN(kernel_needs_suite)
