/* SPDX-License-Identifier: MIT */
/*
 * misdeeds.h - what a malicious driver may do.
 *
 * A misdeed begins with a device that has just been started with @features. It returns NULL, or
 * what the device did wrong; whether the device can still be used is checked by the caller.
 */
#ifndef HOSTILE_MISDEEDS_H
#define HOSTILE_MISDEEDS_H

#include "tests/hostile/driver.h"

struct misdeed {
	const char *name;
	const char *(*play)(void);
	uint64_t features; /* 0: BASIC */
};

/* A line about one on a device; @why NULL: it went well. */
void report(const char *device, const char *name, const char *why);

/* Each ends with a row without a name. */
extern const struct misdeed ring_misdeeds[], register_misdeeds[], request_misdeeds[],
	race_misdeeds[];
/* For a device on PCI. */
extern const struct misdeed function_misdeeds[];

/* To the other devices that are there. False: there is none. */
bool play_others(void);
/* To a disk without SCSI, if there is one: what it alone understands. */
void play_blk(void);

/* What the second CPU does, as long as it is told to. */
enum { NOTHING, REGISTERS, RINGS, FUNCTION };
extern volatile uint32_t second_cpu_does;

/* False: it does not come. */
bool start_second_cpu(void);
/* It is to do nothing more, and has finished what it did. */
void rest_second_cpu(void);
/* One access to the function, chosen by @x. */
void poke_function(uint32_t x);

#endif
