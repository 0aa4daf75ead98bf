/* SPDX-License-Identifier: MIT */
/*
 * resets.c - task management of disks that the kernel serves, by vhost-scsi and a target that is
 * made of FILEs, in a storm while requests are in flight. For a kernel that has vhost_scsi, LIO and
 * configfs, and that is looked at afterwards; guest memory is ours, so there is no KVM in it.
 *
 *	usage: resets pci|mmio FILE...
 *
 * When a function has been answered, so have been all requests that were sent before: nothing may
 * come behind an abort.
 */
#include <linux/pci_regs.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/lib/scsi_load.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

#define ROUNDS 300
#define FILES_MAX 8

static struct testbed tb;
static struct vdriver v;
static struct scsi_load load;

/* What is asked for, and what is answered where there is such a LUN. */
static const struct {
	uint32_t subtype;
	int answer;
} functions[] = {
	{ VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET, VIRTIO_SCSI_S_OK },
	{ VIRTIO_SCSI_T_TMF_ABORT_TASK, VIRTIO_SCSI_S_OK },
	{ VIRTIO_SCSI_T_TMF_ABORT_TASK_SET, VIRTIO_SCSI_S_OK },
	{ VIRTIO_SCSI_T_TMF_CLEAR_TASK_SET, VIRTIO_SCSI_S_OK },
	{ VIRTIO_SCSI_T_TMF_I_T_NEXUS_RESET, VIRTIO_SCSI_S_OK },
	{ VIRTIO_SCSI_T_TMF_QUERY_TASK, VIRTIO_SCSI_S_OK },
	{ VIRTIO_SCSI_T_TMF_QUERY_TASK_SET, VIRTIO_SCSI_S_OK },
	{ VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET, VIRTIO_SCSI_S_OK },
	{ VIRTIO_SCSI_T_TMF_CLEAR_ACA, VIRTIO_SCSI_S_FUNCTION_REJECTED },
	{ 4711, VIRTIO_SCSI_S_FUNCTION_REJECTED },
};

static void set_up(const char *transport, char **file, unsigned nfiles)
{
	char text[300];
	unsigned i;

	testbed_init(&tb);
	snprintf(text, sizeof(text), "virtio-scsi,queue-size=64,vhost=on,transport=%s", transport);
	BUG_ON(device_create(&tb.p, &tb.devices, text) < 0);
	for (i = 0; i < nfiles; i++) {
		snprintf(text, sizeof(text), "scsi-disk,file=%s,lun=%u,overlay=off", file[i], i);
		BUG_ON(device_create(&tb.p, &tb.devices, text) < 0);
	}
	testbed_start(&tb);
	BUG_ON(!vdriver_probe(&v, &tb, 0));
	BUG_ON(!vdriver_start(&v, ~0ull, SCSI_LOAD_QUEUE + 1, 64));
	scsi_load_init(&load, &v, nfiles);
}

static void storm(unsigned nluns)
{
	unsigned round, was_sent;

	for (round = 0; round < ROUNDS; round++) {
		unsigned n = round % ARRAY_SIZE(functions);
		bool done = functions[n].answer == VIRTIO_SCSI_S_OK;

		scsi_load_send(&load, 1 + round % SCSI_LOAD_DEPTH);
		was_sent = load.sent;
		BUG_ON(scsi_driver_tmf(&v, functions[n].subtype, round % nluns, round) !=
		       functions[n].answer);
		scsi_load_reap(&load);
		BUG_ON(done && load.done != was_sent);
	}
	BUG_ON(scsi_driver_tmf(&v, VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET, nluns, 0) !=
	       VIRTIO_SCSI_S_INCORRECT_LUN);
	printf("%u functions, %u requests\n", round, load.done);
}

/* A function that may write no memory has ended what it had, and serves no kick until it may. */
static void no_master(void)
{
	unsigned round, done;

	for (round = 0; round < 50; round++) {
		scsi_load_send(&load, SCSI_LOAD_DEPTH);
		vdriver_pci_write(&v, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
		scsi_load_reap(&load);
		done = load.done;
		scsi_load_send(&load, SCSI_LOAD_DEPTH);
		vdriver_notify(&v, SCSI_LOAD_QUEUE);
		nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
		scsi_load_reap(&load);
		BUG_ON(load.done != done);
		vdriver_pci_write(&v, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
		scsi_load_finish(&load);
	}
	printf("%u times no bus master\n", round);
}

int main(int argc, char **argv)
{
	unsigned nfiles = argc - 2, i;

	if (argc < 3 || nfiles > FILES_MAX)
		return 2;
	set_up(argv[1], argv + 2, nfiles);
	storm(nfiles);
	scsi_load_finish(&load);
	if (!strcmp(argv[1], "pci"))
		no_master();
	/* What is in flight at a reset of the device is not answered, and yet over. */
	scsi_load_send(&load, SCSI_LOAD_DEPTH);
	vdriver_reset(&v);
	vdriver_fini(&v);
	testbed_release(&tb);
	BUG_ON(!vdriver_probe(&v, &tb, 0));
	BUG_ON(!vdriver_start(&v, ~0ull, SCSI_LOAD_QUEUE + 1, 64));
	scsi_load_init(&load, &v, nfiles);
	scsi_load_run(&load, 4 * SCSI_LOAD_DEPTH);
	for (i = 0; i < nfiles; i++)
		scsi_load_check_file(&load, i, argv[2 + i]);
	vdriver_fini(&v);
	testbed_fini(&tb);
	return 0;
}
