/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "tests/lib/stderr.h"
#include "vmm/core/util.h"
#include "vmm/machine/image.h"
#include "vmm/run/kernel/kernel_config.h"

Suite *kernel_config_suite(void);

static const char text[] = "# Linux\nCONFIG_SCSI=y\n# CONFIG_PCI is not set\nCONFIG_TUN=m\n"
			   "CONFIG_HZ=250\n";

static char dir[40];
static struct kernel_config config;

static void set_up(void)
{
	strcpy(dir, "/tmp/lunette-config-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
}

static void tear_down(void)
{
	char command[100];

	kernel_config_free(&config);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static void make(const char *name, const void *bytes, size_t len)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
	close(fd);
}

static int find(const char *name)
{
	struct image img;
	int r;

	ck_assert_int_eq(image_open(&img, "kernel check", name), 0);
	r = kernel_config_find(&img, &config);
	image_close(&img);
	return r;
}

START_TEST(values)
{
	static const struct {
		const char *option;
		char value;
	} rows[] = {
		{ "SCSI", 'y' }, { "PCI", 'n' }, { "TUN", 'm' }, { "HZ", '2' },
		{ "CSI", 'n' }, { "SCS", 'n' }, { "CONFIG_SCSI", 'n' }, { "NONE", 'n' },
	};
	unsigned i;

	make("plain", text, strlen(text));
	ck_assert_int_eq(find("plain"), 0);
	ck_assert_str_eq(config.from, "plain");
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		ck_assert_int_eq(kernel_config_get(&config, rows[i].option), rows[i].value);
}
END_TEST

START_TEST(beside)
{
	static const char *const rows[][2] = {
		{ "vmlinuz-6.1-x", "config-6.1-x" },
		{ "a-b/vmlinux", "a-b/config" },
		{ "a-b/vmlinux", "a-b/.config" },
		{ "a-b/vmlinuz", "a-b/config" },
		{ "arch/x86/boot/bzImage", ".config" },
	};
	const char *kernel = rows[_i][0], *file = rows[_i][1];
	const char *name = strrchr(file, '/');

	ck_assert_int_eq(mkdir("a-b", 0755) | mkdir("arch", 0755) | mkdir("arch/x86", 0755) |
			 mkdir("arch/x86/boot", 0755), 0);
	make(kernel, "kernel", 6);
	ck_assert_int_eq(kernel_config_beside(kernel, &config), -ENOENT);
	ck_assert_int_eq(find(kernel), -ENOENT);
	make(file, text, strlen(text));
	ck_assert_int_eq(kernel_config_beside(kernel, &config), 0);
	ck_assert_int_eq(kernel_config_get(&config, "SCSI"), 'y');
	ck_assert_ptr_nonnull(strstr(config.from, name ? name + 1 : file));
	kernel_config_free(&config);
	ck_assert_int_eq(find(kernel), 0);
	ck_assert_int_eq(kernel_config_get(&config, "TUN"), 'm');
}
END_TEST

START_TEST(beside_but_no_file)
{
	make("vmlinuz-1", "kernel", 6);
	ck_assert_int_eq(mkdir("config-1", 0755), 0);
	ck_assert_int_eq(kernel_config_beside("vmlinuz-1", &config), -ENOENT);
	ck_assert_int_eq(rmdir("config-1"), 0);
	ck_assert_int_eq(mkfifo("config-1", 0644), 0);
	ck_assert_int_eq(kernel_config_beside("vmlinuz-1", &config), -ENOENT);
}
END_TEST

/* Returns how long gzip's is, @len bytes packed. */
static size_t pack(uint8_t *to, size_t room, const void *bytes, size_t len)
{
	z_stream z = { .next_in = (uint8_t *)bytes, .avail_in = len, .next_out = to,
		       .avail_out = room };

	ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return z.total_out;
}

/* A kernel with the text between the marks. Returns its length. */
static size_t carry(uint8_t *kernel, size_t room)
{
	size_t at = 5000;

	memset(kernel, 0, room);
	memcpy(kernel, "\x7f" "ELF", 4);
	memcpy(kernel + 4500, "IKCFG_ST", 8); /* somebody's text: no gzip behind */
	memcpy(kernel + at, "IKCFG_ST", 8);
	at += 8;
	at += pack(kernel + at, room - at, text, strlen(text));
	memcpy(kernel + at, "IKCFG_ED", 8);
	return at + 8;
}

START_TEST(inside)
{
	static uint8_t kernel[10000];

	carry(kernel, sizeof(kernel));
	make("vmlinux", kernel, sizeof(kernel));
	make("config", "CONFIG_OTHER=y\n", 15); /* its own goes first */
	ck_assert_int_eq(find("vmlinux"), 0);
	ck_assert_str_eq(config.from, "vmlinux");
	ck_assert_str_eq(config.text, text);
}
END_TEST

START_TEST(inside_and_damaged) /* cut off, a wrong length, wrong data */
{
	static uint8_t kernel[10000];
	size_t len = carry(kernel, sizeof(kernel)), i;

	for (i = 5000; i < len; i += 7) {
		make("vmlinux", kernel, i);
		ck_assert_int_eq(find("vmlinux"), -ENOENT);
	}
	memset(kernel + len - 12, 0xff, 4);
	make("vmlinux", kernel, len);
	ck_assert_int_eq(find("vmlinux"), -ENOENT);
	len = carry(kernel, sizeof(kernel));
	memset(kernel + 5030, 0xff, 8);
	make("vmlinux", kernel, len);
	ck_assert_int_eq(find("vmlinux"), -ENOENT);
}
END_TEST

#define HEADERS 1100 /* of zboot, before what is packed */

static struct stderr_text said;
static uint8_t vmlinuz[HEADERS + 16000];
static size_t packed_len;

/* A kernel with such a one packed inside. */
static void make_vmlinuz(void)
{
	static uint8_t kernel[10000];

	carry(kernel, sizeof(kernel));
	packed_len = pack(vmlinuz + HEADERS, sizeof(vmlinuz) - HEADERS, kernel, sizeof(kernel));
	memcpy(vmlinuz, "MZ\0\0zimg", 8);
	le32_put(vmlinuz + 8, HEADERS);
	le32_put(vmlinuz + 12, packed_len);
	memcpy(vmlinuz + 24, "gzip", 5);
}

static int find_in_vmlinuz(size_t len)
{
	int r;

	make("vmlinuz", vmlinuz, len);
	stderr_begin(&said);
	r = find("vmlinuz");
	stderr_end(&said);
	return r;
}

START_TEST(packed)
{
	make_vmlinuz();
	ck_assert_int_eq(find_in_vmlinuz(sizeof(vmlinuz)), 0);
	ck_assert_str_eq(config.from, "vmlinuz");
	ck_assert_str_eq(config.text, text);
	ck_assert_str_eq(said.text, "");
}
END_TEST

START_TEST(packed_by_zstd_alone)
{
	static uint8_t kernel[10000];
	size_t len;

	carry(kernel, sizeof(kernel));
	len = ZSTD_compress(vmlinuz, sizeof(vmlinuz), kernel, sizeof(kernel), 3);
	ck_assert(!ZSTD_isError(len));
	ck_assert_int_eq(find_in_vmlinuz(len), 0);
	ck_assert_str_eq(config.from, "vmlinuz");
	ck_assert_str_eq(config.text, text);
	kernel_config_free(&config);
	ck_assert_int_eq(find_in_vmlinuz(50), -EIO);
	ck_assert_ptr_nonnull(strstr(said.text, "by zstd cannot be unpacked: the file is damaged"));
}
END_TEST

START_TEST(packed_in_an_unknown_format) /* not a word: there are other ways */
{
	make_vmlinuz();
	vmlinuz[HEADERS] = 'x';
	ck_assert_int_eq(find_in_vmlinuz(sizeof(vmlinuz)), -ENOENT);
	make("config", text, strlen(text));
	ck_assert_int_eq(find_in_vmlinuz(sizeof(vmlinuz)), 0);
	ck_assert_str_eq(config.from, "config");
	ck_assert_str_eq(said.text, "");
}
END_TEST

START_TEST(packed_and_damaged)
{
	make_vmlinuz();
	memset(vmlinuz + HEADERS + 10, 0xff, 4);
	ck_assert_int_eq(find_in_vmlinuz(sizeof(vmlinuz)), -EIO);
	ck_assert_ptr_nonnull(strstr(said.text, "by gzip cannot be unpacked: the file is damaged"));
	make_vmlinuz();
	memset(vmlinuz + HEADERS + packed_len - 4, 0xff, 4);
	ck_assert_int_eq(find_in_vmlinuz(sizeof(vmlinuz)), -EIO);
	ck_assert_ptr_nonnull(strstr(said.text, "the 4095 MiB that it has packed"));
	make_vmlinuz();
	ck_assert_int_eq(find_in_vmlinuz(HEADERS + packed_len - 1), -EIO);
	ck_assert_ptr_nonnull(strstr(said.text, "the file ends too early"));
}
END_TEST

Suite *kernel_config_suite(void)
{
	Suite *suite = suite_create("kernel_config");
	TCase *tc = unit_case(suite, "configurations");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, values);
	tcase_add_loop_test(tc, beside, 0, 5);
	tcase_add_test(tc, beside_but_no_file);
	tcase_add_test(tc, inside);
	tcase_add_test(tc, inside_and_damaged);
	tcase_add_test(tc, packed);
	tcase_add_test(tc, packed_by_zstd_alone);
	tcase_add_test(tc, packed_in_an_unknown_format);
	tcase_add_test(tc, packed_and_damaged);
	return suite;
}

UNIT_MAIN(kernel_config_suite)
