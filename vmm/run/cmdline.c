/* SPDX-License-Identifier: MIT */
#include "vmm/run/cmdline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/exec.h"
#include "guest/job.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/run/files/files.h"
#include "vmm/run/guest.h"
#include "vmm/run/net.h"

/* As Linux counts: a to z, aa, ab, ... Returns the beginning, in @text. */
static const char *disk_letters(unsigned rank, char text[8])
{
	char *c = text + 7;

	*c = 0;
	do
		*--c = (char)('a' + rank % 26);
	while ((rank = rank / 26) && rank--);
	return c;
}

static bool has_several_luns(const struct device_list *list)
{
	const struct device *dev;
	unsigned n = 0;

	for (dev = list->last; dev; dev = dev->next)
		n += !!dev->class->lun;
	return n > 1;
}

static int refuse_root(const char *root, const char *why)
{
	log_err("--root %s%s%s", root ? root : "", root ? ": " : "", why);
	return -EUSAGE;
}

/* A LUN: /dev/sd... */
static int put_lun(const struct guest *g, char *to, size_t size)
{
	const struct device_list *devices = &g->machine.devices;
	const struct guest_cfg *cfg = g->cfg;
	struct device_place place;
	const struct device *dev;
	const char *letters;
	char text[8], why[300];

	log_hear(why, sizeof(why));
	dev = device_named(devices, cfg->root);
	log_hear(NULL, 0);
	if (!dev)
		return refuse_root(NULL, why);
	dev->class->lun->place(dev, &place);
	if (!place.disk) {
		snprintf(why, sizeof(why), "%s is no disk", dev->id);
		return refuse_root(cfg->root, why);
	}
	letters = disk_letters(device_disk_rank(devices, dev), text);
	if (!cfg->initrds.count && has_several_luns(devices))
		log_note("--root %s: is /dev/sd%s if the guest finds its disks in order; with an "
			 "initrd it need not", cfg->root, letters);
	snprintf(to, size, " root=/dev/sd%s lunette.root=lun:%u", letters, place.lun);
	return 0;
}

/* A virtio disk: /dev/vd... Of these the kernel takes one after the other. */
static int put_blk(const struct guest *g, const char *number, char *to, size_t size)
{
	char text[8];

	if (!device_blk(&g->machine.devices, number))
		return refuse_root(g->cfg->root,
				   "there is no such virtio disk; the first is blk:0");
	snprintf(to, size, " root=/dev/vd%s lunette.root=blk:%s",
		 disk_letters(strtoul(number, NULL, 10), text), number);
	return 0;
}

/*
 * Words that say where the root file system is. A kernel without an initrd knows disks by letters
 * alone, and gives them out as its probes happen to finish. guest/init finds the disk itself.
 */
static int put_root(const struct guest *g, char *to, size_t size)
{
	const char *ours = files_root_word(g->cfg->job.files);
	const char *root = g->cfg->root, *number = root && strlen(root) > 4 ? root + 4 : "x";

	*to = 0;
	if (!root)
		return 0;
	if (ours) {
		snprintf(to, size, " lunette.root=%s lunette.overlay", ours);
		return 0;
	}
	if (!number[strspn(number, "0123456789")] && !strncmp(root, "lun:", 4))
		return put_lun(g, to, size);
	if (!number[strspn(number, "0123456789")] && !strncmp(root, "blk:", 4))
		return put_blk(g, number, to, size);
	return refuse_root(root, "lun:N is wanted, with the number of a LUN, or blk:N");
}

/*
 * BLIST_NO_VPD_SIZE: Linux reads a page of vital product data at once. It would ask before each one
 * for the list of pages and for the page's length: 12 commands more for each disk, of 41 in all.
 */
static const char linux_words[] = "scsi_mod.dev_flags=LUNETTE:DISK:0x2000";

int cmdline_put(const struct guest *g, char cmdline[CMDLINE_MAX])
{
	const struct guest_cfg *cfg = g->cfg;
	char root[64];
	int r = put_root(g, root, sizeof(root)), ours;
	size_t users = 0;
	unsigned i;

	if (r < 0)
		return r;
	ours = snprintf(cmdline, CMDLINE_MAX, "%s %s %s%s%s%s%s", arch_cmdline, linux_words,
			cfg->console == CONSOLE_HVC ? arch_hvc_words : arch_serial_words, root,
			g->job ? " " JOB_WORD : "", g->exec ? " " EXEC_WORD : "",
			net_words(cfg->net));
	BUG_ON(ours >= CMDLINE_MAX);
	for (i = 0; i < cfg->append.count; i++) {
		const char *words = cfg->append.item[i];
		size_t at = min_u64(ours + users, CMDLINE_MAX - 1);

		snprintf(cmdline + at, CMDLINE_MAX - at, "%s%s", *words ? " " : "", words);
		users += strlen(words) + !!*words;
	}
	if (ours + users < CMDLINE_MAX)
		return 0;
	log_err("--append: has %zu characters; there is room for %d, behind lunette's own words",
		users - 1, CMDLINE_MAX - 1 - ours - 1);
	return -EUSAGE;
}
