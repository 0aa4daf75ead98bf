/* SPDX-License-Identifier: MIT */
#include "vmm/core/magic.h"

#include <string.h>

#include "vmm/core/util.h"

#define CONVERT "'qemu-img convert -O raw FILE NEW' makes a raw one"
#define UNPACK(command) "'" command " <FILE >NEW' unpacks it"

static const struct magic rows[] = {
	{ 0, "QFI\xfb", 4, "a qcow2 disk", CONVERT, "qcow2" },
	{ 0, "QED\0", 4, "a QED disk", CONVERT, NULL },
	{ 0, "vhdxfile", 8, "a VHDX disk", CONVERT, "vhdx" },
	{ 0, "conectix", 8, "a VHD disk", CONVERT, NULL },
	{ -512, "conectix", 8, "a VHD disk", CONVERT, NULL },
	{ 0, "KDMV", 4, "a VMDK disk", CONVERT, "vmdk" },
	{ 0, "COWD", 4, "a VMDK disk", CONVERT, "vmdk" },
	{ 0, "\xbe\xba\xfe\xca\0\0\0\0", 8, "a VMDK disk", CONVERT, NULL },
	{ 0, "# Disk DescriptorFile", 21, "the description of a VMDK disk", CONVERT, NULL },
	{ 0x40, "\x7f\x10\xda\xbe", 4, "a VDI disk", CONVERT, "vdi" },
	{ 0, "WithoutFreeSpace", 16, "a Parallels disk", CONVERT, NULL },
	{ 0, "WithouFreSpacExt", 16, "a Parallels disk", CONVERT, NULL },
	{ -512, "koly", 4, "a DMG disk", CONVERT, NULL },
	{ 0, "Bochs Virtual HD Image", 22, "a Bochs disk", CONVERT, NULL },
	{ 0, "#!/bin/sh\n#V2.0 Format\n", 23, "a cloop disk", CONVERT, NULL },
	{ 0, "EVF\t\r\n\xff\0", 8, "an EWF disk",
	  "'ewfexport -u -f raw -t NEW FILE' makes a raw one", NULL },
	{ 0, "partclone-image", 15, "a partclone image",
	  "'partclone.restore -s FILE -o NEW -C' makes a raw one", NULL },
	{ 0, "MSWIM\0\0", 7, "a WIM archive", "'wimapply FILE DIR' unpacks it", NULL },
	{ 0, "\x3a\xff\x26\xed", 4, "an Android sparse image",
	  "'simg2img FILE NEW' makes a raw one", NULL },
	{ 0, "\x1f\x8b\x08", 3, "gzip data", UNPACK("gzip -d"), NULL },
	{ 0, "\x28\xb5\x2f\xfd", 4, "zstd data", UNPACK("zstd -d"), NULL },
	{ 0, "\x50\x2a\x4d\x18", 4, "zstd data", UNPACK("zstd -d"), NULL }, /* pzstd's first */
	{ 0, "\xfd" "7zXZ\0", 6, "xz data", UNPACK("xz -d"), NULL },
	{ 0, "\x5d\0\0", 3, "lzma data", UNPACK("xz -d"), NULL },
	{ 0, "BZh", 3, "bzip2 data", UNPACK("bzip2 -d"), NULL },
	{ 0, "\x02\x21\x4c\x18", 4, "lz4 data", UNPACK("lz4 -d"), NULL },
	{ 0, "\x04\x22\x4d\x18", 4, "lz4 data", UNPACK("lz4 -d"), NULL },
	{ 0, "LZIP", 4, "lzip data", UNPACK("lzip -d"), NULL },
	{ 0, "\x89LZO\0\r\n\x1a\n", 9, "lzop data", UNPACK("lzop -d"), NULL },
	{ 0, "\x1f\x9d", 2, "compressed data", UNPACK("gzip -d"), NULL },
	{ 0, "PK\3\4", 4, "a zip archive", "'unzip FILE' unpacks it", NULL },
	{ 0, "7z\xbc\xaf\x27\x1c", 6, "a 7z archive", "'7z x FILE' unpacks it", NULL },
	{ 0, "Rar!\x1a\x07", 6, "a RAR archive", "'unrar x FILE' unpacks it", NULL },
	{ 0, "070701", 6, "a cpio archive (an initrd?)", "--initrd takes one", NULL },
	{ 0, "070702", 6, "a cpio archive (an initrd?)", "--initrd takes one", NULL },
	{ 0, "070707", 6, "a cpio archive (an initrd?)", "'cpio -i <FILE' unpacks it", NULL },
	{ 0, "!<arch>\n", 8, "an archive (a Debian package?)", "'dpkg -x FILE DIR' unpacks one",
	  NULL },
};

static bool fits(const struct magic *m, const uint8_t *head, size_t len, const uint8_t *tail)
{
	if (m->off < 0)
		return tail && !memcmp(tail + MAGIC_HEAD + m->off, m->bytes, m->len);
	return m->off + m->len <= len && !memcmp(head + m->off, m->bytes, m->len);
}

const struct magic *magic_find(const uint8_t *head, size_t len, const uint8_t *tail)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		if (fits(&rows[i], head, len, tail))
			return &rows[i];
	}
	return NULL;
}
