#include "vmm/cmdline.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "guest/job.h"
#include "vmm/arch/arch.h"
#include "vmm/core/log.h"
#include "vmm/machine.h"
#include "vmm/net.h"

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
		n += !!dev->class->live;
	return n > 1;
}

/*
 * Words that say where the root file system is. A kernel without an initrd knows disks by letters
 * alone, and gives them out as its probes happen to finish. guest/init finds the LUN itself.
 */
static int put_root(const struct machine *m, const struct machine_cfg *cfg, char *to, size_t size)
{
	struct device_place place;
	const struct device *dev;
	const char *letters;
	char text[8];

	*to = 0;
	if (!cfg->root)
		return 0;
	if (strncmp(cfg->root, "lun:", 4)) {
		log_err("--root %s: lun:N is wanted, with the number of a LUN", cfg->root);
		return -EINVAL;
	}
	dev = device_named(&m->devices, cfg->root);
	if (!dev)
		return -EINVAL;
	dev->class->live->place(dev, &place);
	if (!place.disk) {
		log_err("--root %s: %s is no disk", cfg->root, dev->id);
		return -EINVAL;
	}
	letters = disk_letters(device_disk_rank(&m->devices, dev), text);
	if (!cfg->initrd && has_several_luns(&m->devices))
		log_note("--root %s: is /dev/sd%s if the guest finds its disks in order; with an "
			 "initrd it need not", cfg->root, letters);
	snprintf(to, size, " root=/dev/sd%s lunette.root=lun:%u", letters, place.lun);
	return 0;
}

/*
 * BLIST_NO_VPD_SIZE: Linux reads a page of vital product data at once. It would ask before each one
 * for the list of pages and for the page's length: 12 commands more for each disk, of 41 in all.
 */
static const char linux_words[] = "scsi_mod.dev_flags=LUNETTE:DISK:0x2000";

int cmdline_put(const struct machine *m, const struct machine_cfg *cfg, char cmdline[CMDLINE_MAX])
{
	char root[64];
	int r = put_root(m, cfg, root, sizeof(root));

	if (r < 0)
		return r;
	r = snprintf(cmdline, CMDLINE_MAX, "%s %s %s%s%s%s%s%s", arch_cmdline, linux_words,
		     cfg->console == CONSOLE_HVC ? arch_hvc_words : arch_serial_words, root,
		     m->job ? " " JOB_WORD : "", net_words(cfg->net),
		     cfg->append ? " " : "", cfg->append ? cfg->append : "");
	if (r < CMDLINE_MAX)
		return 0;
	log_err("--append: %d characters are too many, %d at most", r, CMDLINE_MAX - 1);
	return -EINVAL;
}
