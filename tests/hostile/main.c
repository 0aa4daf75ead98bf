/* SPDX-License-Identifier: MIT */
/*
 * main.c - runs every misdeed of the tables, and after each proves that a reset makes the device as
 * good as new. A line on the serial port for each, "ok NAME" or "not ok NAME: why"; then off.
 */
#include "tests/hostile/misdeeds.h"
#include "tests/hostile/pci.h"

void guest_main(void);

/* Writes something new to the disk and reads it back. NULL, or why not. */
static const char *check_disk(void)
{
	static const uint8_t test_unit_ready[6];
	static uint8_t wrote[512], got[512];
	uint32_t lba = random32() % 1024;
	unsigned i;

	start(EVERYTHING);
	if (is_broken())
		return "afterwards: the device does not start";
	if (!run(0, test_unit_ready, 6, false, 0, 0) || !run(1, test_unit_ready, 6, false, 0, 0))
		return "afterwards: no answer";
	for (i = 0; i < sizeof(wrote); i++)
		wrote[i] = random32();
	if (!transfer(false, lba, 1, wrote) || request[0].tail.status)
		return "afterwards: a write fails";
	if (!transfer(true, lba, 1, got) || request[0].tail.status)
		return "afterwards: a read fails";
	for (i = 0; i < sizeof(wrote); i++)
		if (wrote[i] != got[i])
			return "afterwards: what is read is not what was written";
	return NULL;
}

void report(const char *device, const char *name, const char *why)
{
	print(why ? "\nnot ok " : "\nok ");
	print(device);
	print(*device ? ": " : "");
	print(name);
	print(why ? ": " : "");
	print(why ? why : "");
	print("\n");
}

static void play(const struct misdeed *m)
{
	const char *why;

	for (; m->name; m++) {
		start(m->features ? m->features : BASIC);
		why = m->play();
		if (pci.home)
			pci_restore();
		if (!why)
			why = check_disk();
		report("", m->name, why);
	}
}

void guest_main(void)
{
	mask_interrupts();
	if (!find_device())
		print("not ok find: no virtio-scsi device\n");
	else if (play_others()) {
		find_device();
		report("", "disk after the others", check_disk());
	} else {
		play(ring_misdeeds);
		play(register_misdeeds);
		play(request_misdeeds);
		play(race_misdeeds);
		if (pci.home)
			play(function_misdeeds);
	}
	power_off();
}
