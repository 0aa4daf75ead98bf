/* SPDX-License-Identifier: MIT */
#include "vmm/run/guest_devices.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/devices.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/memlimit.h"
#include "vmm/run/exec.h"
#include "vmm/run/files/files.h"
#include "vmm/run/guest.h"
#include "vmm/run/job.h"
#include "vmm/run/net.h"

/* What needs another device to be on; who names none gets one. */
static const struct {
	const char *class, *on, *text;
} needs[] = {
	{ "scsi-disk", "virtio-scsi", "virtio-scsi" },
	{ "scsi-cd", "virtio-scsi", "virtio-scsi" },
	{ "console-port", "virtio-console", "virtio-console,terminal=off" },
};

static int add_device(struct machine *m, const char *text)
{
	size_t len = strcspn(text, ",");
	unsigned i;
	int r;

	for (i = 0; i < ARRAY_SIZE(needs); i++) {
		if (strlen(needs[i].class) != len || strncmp(text, needs[i].class, len) ||
		    device_find(&m->devices, needs[i].on, NULL))
			continue;
		r = device_create(&m->platform, &m->devices, needs[i].text);
		if (r < 0)
			return r;
	}
	return device_create(&m->platform, &m->devices, text);
}

static int add_disk(struct machine *m, const char *text)
{
	char *device;
	int r = device_of_disk(text, &device);

	if (r < 0)
		return r;
	r = add_device(m, device);
	free(device);
	return r;
}

/* What an option has, as a device of this class. */
static int add_of(struct machine *m, const char *class, const char *text)
{
	char *device;
	int r;

	if (asprintf(&device, "%s,%s", class, text) < 0)
		return -ENOMEM;
	r = add_device(m, device);
	free(device);
	return r;
}

/* Who serves a folder has ended. */
static void gone(void *arg)
{
	struct guest *g = arg;

	machine_end(&g->machine, CAUSE_HOST_IO);
}

/* Disks, and folders that other programs serve. */
static int add_files(struct guest *g)
{
	struct files *files = g->cfg->job.files;
	struct machine *m = &g->machine;
	const char *text = files_root_disk(files);
	int r = text ? add_disk(m, text) : 0;
	unsigned i;

	for (i = 0; r == 0 && (text = files_disk(files, i)); i++)
		r = add_disk(m, text);
	for (i = 0; r == 0 && (text = files_device(files, i)); i++)
		r = add_device(m, text);
	return r ? r : files_watch(files, m->main_loop, gone, g);
}

static int make_all(struct guest *g)
{
	const struct guest_cfg *cfg = g->cfg;
	struct machine *m = &g->machine;
	int r = arch_platform_devices(&m->platform, &m->devices);
	unsigned i;

	if (r == 0 && cfg->console == CONSOLE_HVC)
		r = device_create(&m->platform, &m->devices, "virtio-console");
	for (i = 0; r == 0 && i < cfg->devices.count; i++)
		r = add_device(m, cfg->devices.item[i]);
	for (i = 0; r == 0 && i < cfg->disks.count; i++)
		r = add_disk(m, cfg->disks.item[i]);
	for (i = 0; r == 0 && i < cfg->cdroms.count; i++)
		r = add_of(m, "scsi-cd", cfg->cdroms.item[i]);
	r = r ? r : add_files(g);
	if (r == 0 && cfg->balloon)
		r = add_device(m, "virtio-balloon");
	if (r == 0 && cfg->vsock)
		r = add_of(m, "virtio-vsock", cfg->vsock);
	r = r ? r : net_add(&m->platform, &m->devices, cfg->net, &cfg->publish);
	if (r == 0 && cfg->job.argv) {
		g->job = job_create(m, cfg->report, &cfg->job);
		r = g->job ? 0 : -errno;
	}
	if (r == 0 && cfg->control) {
		g->exec = exec_create(&m->platform, &m->devices);
		r = g->exec ? 0 : -errno;
	}
	return r ? r : device_ready_all(&m->devices);
}

int guest_devices(struct guest *g)
{
	const struct machine_spec *spec = &g->machine.spec;
	int r = make_all(g);

	return r ? r : memlimit_check("", spec->memory, spec->cpus,
				      device_memory_all(&g->machine.devices));
}
