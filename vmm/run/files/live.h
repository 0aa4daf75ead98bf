/* SPDX-License-Identifier: MIT */
/*
 * live.h - a folder of this system's that the guest has as it is, and not as a copy: a device that
 * virtiofsd serves. What one side writes the other one sees.
 *
 * Nobody can follow that program: what the guest has open only it knows. When it ends the run does.
 */
#ifndef RUN_LIVE_H
#define RUN_LIVE_H

#include <stdbool.h>
#include <stddef.h>

#include "vmm/core/loop.h"
#include "vmm/run/files/virtiofsd.h"

struct live {
	struct virtiofsd server;
	char *device; /* as --device has it; malloc()ed. NULL: there is none */
	char *what;   /* begins lines */
	struct loop *loop; /* NULL: nobody watches */
	struct loop_source ended;
	void (*gone)(void *arg);
	void *arg;
};

#define LIVE_NONE ((struct live){ .server = VIRTIOFSD_NONE })

/* What an option says behind its folder. */
struct live_options {
	bool live, rw;
};

/*
 * Cuts ",live=on" and ",rw=on" off the end of @text, which is what @option was given; all else
 * belongs to a name. -EUSAGE after one line.
 */
int live_options(const char *option, char *text, struct live_options *to);

/*
 * @l is LIVE_NONE before. Serves @cfg's folder to a device with this @tag; @what is the option, as
 * lines begin with it. -errno: @why, of @size bytes, says why not, and the cure. [setup]
 */
int live_open(struct live *l, const char *what, const char *tag, const struct virtiofsd_cfg *cfg,
	      char *why, size_t size);

/* From now on @gone is called, after one line, when the program has ended. -errno. [setup] */
int live_watch(struct live *l, struct loop *loop, void (*gone)(void *arg), void *arg);
void live_unwatch(struct live *l);

/* The device is gone. Of LIVE_NONE, too. */
void live_close(struct live *l);

#endif
