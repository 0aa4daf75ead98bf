/* SPDX-License-Identifier: MIT */
/*
 * A kernel file, with an initrd behind it that is the same file: what it is, its configuration, its
 * way into guest memory, and what it would be unpacked to. Nothing is read or written beyond them.
 */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/image.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/unpack.h"
#include "vmm/run/kernel/kernel_config.h"

#define RAM MIB(4)

static void load(const struct image *img)
{
	static struct machine m;
	struct image copy = *img;
	struct image_list initrds = { &copy, 1 };
	struct arch_entry entry;

	memset(&m, 0, sizeof(m));
	BUG_ON(mem_add(&m.mem, 0, RAM) < 0);
	if (arch_load(&m.mem, img, &initrds, "quiet", &entry) == 0)
		BUG_ON(!entry.pc);
	mem_free(&m.mem);
}

static void configure(const struct image *img)
{
	struct kernel_config config;

	BUG_ON(!image_kind(img));
	if (kernel_config_find(img, &config) == 0) {
		kernel_config_get(&config, "VIRTIO_PCI");
		kernel_config_free(&config);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t *out = malloc(4096);
	struct image img;
	char path[32];
	int fd = memfd_create("kernel", MFD_CLOEXEC);

	BUG_ON(!out || fd < 0 || write(fd, data, len) != (ssize_t)len);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (image_open(&img, "--kernel", path) == 0) {
		configure(&img);
		load(&img);
		image_close(&img);
	}
	unpack(data, len, out, len ? data[len - 1] * 16u : 0);
	close(fd);
	free(out);
	return 0;
}
