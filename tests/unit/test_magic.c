/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <string.h>

#include "vmm/core/magic.h"
#include "vmm/core/util.h"

Suite *magic_suite(void);

#define BYTES(text) (text), sizeof(text) - 1

static const struct {
	const char *bytes;
	size_t len, at;
	bool end; /* @at is counted in the last bytes */
	const char *kind;
} rows[] = {
	{ BYTES("QFI\xfb\0\0\0\3"), 0, false, "a qcow2 disk" },
	{ BYTES("QED\0"), 0, false, "a QED disk" },
	{ BYTES("vhdxfile"), 0, false, "a VHDX disk" },
	{ BYTES("conectix"), 0, false, "a VHD disk" },
	{ BYTES("conectix"), 0, true, "a VHD disk" },
	{ BYTES("KDMV"), 0, false, "a VMDK disk" },
	{ BYTES("# Disk DescriptorFile\nversion=1\n"), 0, false, "the description of a VMDK disk" },
	{ BYTES("\x7f\x10\xda\xbe"), 64, false, "a VDI disk" },
	{ BYTES("WithoutFreeSpace"), 0, false, "a Parallels disk" },
	{ BYTES("WithouFreSpacExt"), 0, false, "a Parallels disk" },
	{ BYTES("\xbe\xba\xfe\xca\0\0\0\0"), 0, false, "a VMDK disk" },
	{ BYTES("Bochs Virtual HD Image"), 0, false, "a Bochs disk" },
	{ BYTES("#!/bin/sh\n#V2.0 Format\nmodprobe"), 0, false, "a cloop disk" },
	{ BYTES("EVF\t\r\n\xff\0\1"), 0, false, "an EWF disk" },
	{ BYTES("partclone-image0.3"), 0, false, "a partclone image" },
	{ BYTES("MSWIM\0\0\0"), 0, false, "a WIM archive" },
	{ BYTES("\x50\x2a\x4d\x18\4\0\0\0"), 0, false, "zstd data" },
	{ BYTES("\x5d\0\0\x80\0"), 0, false, "lzma data" },
	{ BYTES("koly"), 0, true, "a DMG disk" },
	{ BYTES("\x3a\xff\x26\xed"), 0, false, "an Android sparse image" },
	{ BYTES("\x1f\x8b\x08\0"), 0, false, "gzip data" },
	{ BYTES("\x28\xb5\x2f\xfd"), 0, false, "zstd data" },
	{ BYTES("\xfd" "7zXZ\0"), 0, false, "xz data" },
	{ BYTES("BZh91AY&SY"), 0, false, "bzip2 data" },
	{ BYTES("\x04\x22\x4d\x18"), 0, false, "lz4 data" },
	{ BYTES("PK\3\4"), 0, false, "a zip archive" },
	{ BYTES("070701"), 0, false, "a cpio archive (an initrd?)" },
	{ BYTES("!<arch>\ndebian-binary"), 0, false, "an archive (a Debian package?)" },
	/* What disks begin with. */
	{ BYTES("\0"), 0, false, NULL },
	{ BYTES("#!/bin/sh\nexit\n"), 0, false, NULL },
	{ BYTES("\xeb\x63\x90"), 0, false, NULL },
	{ BYTES("\x33\xc0\x8e\xd0"), 0, false, NULL },
	{ BYTES("XFSB"), 0, false, NULL },
	{ BYTES("hsqs"), 0, false, NULL },
	{ BYTES("LUKS\xba\xbe"), 0, false, NULL },
	{ BYTES("LABELONE"), 0, false, NULL },
	{ BYTES("ustar"), 257, false, NULL },
	{ BYTES("QFI\xfb"), 1, false, NULL },
	{ BYTES("QFI\xfb"), 0, true, NULL },
	{ BYTES("conectix"), 1, true, NULL },
};

START_TEST(kinds)
{
	uint8_t head[MAGIC_HEAD] = { 0 }, tail[MAGIC_HEAD] = { 0 };
	const struct magic *m;
	size_t len;

	memcpy((rows[_i].end ? tail : head) + rows[_i].at, rows[_i].bytes, rows[_i].len);
	m = magic_find(head, sizeof(head), tail);
	if (!rows[_i].kind) {
		ck_assert_msg(!m, "%s", m ? m->kind : "");
		return;
	}
	ck_assert_ptr_nonnull(m);
	ck_assert_str_eq(m->kind, rows[_i].kind);
	ck_assert_uint_gt(strlen(m->cure), 10);
	if (rows[_i].end)
		ck_assert_ptr_null(magic_find(head, sizeof(head), NULL));
	for (len = 0; len < m->len && !rows[_i].end; len++) /* too short to tell */
		ck_assert_ptr_ne(magic_find(head, rows[_i].at + len, NULL), m);
}
END_TEST

Suite *magic_suite(void)
{
	Suite *s = suite_create("magic");
	TCase *tc = unit_case(s, "magic");

	tcase_add_loop_test(tc, kinds, 0, ARRAY_SIZE(rows));
	return s;
}

UNIT_MAIN(magic_suite)
