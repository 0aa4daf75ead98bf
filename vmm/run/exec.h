/* SPDX-License-Identifier: MIT */
/*
 * exec.h - commands in a guest that runs, for clients of the control socket (guest/exec.h).
 *
 * The guest's init has all of them on one port of a console device; here its frames are checked
 * and passed on to the client that each is for, and those of clients get their number. The guest
 * is never kept waiting by a client: a stream has no more bytes under way than its client has said
 * to take, so there is room for all of them here. A client waits as long as the guest does not
 * read.
 *
 * A thread of its own does this, as what the guest has sent has to be read also while the main
 * thread takes the machine down.
 */
#ifndef RUN_EXEC_H
#define RUN_EXEC_H

struct device_list;
struct exec;
struct platform;

/*
 * After all other devices. Makes the port, on a console device of its own. NULL after one line,
 * with errno. [setup]
 */
struct exec *exec_create(struct platform *p, struct device_list *devices);
/* After the devices; its thread still runs, or has never. NULL is all right. [main] */
void exec_destroy(struct exec *e);

/* For all of these NULL is a run without a control socket. */

/* May one more client come? -EBUSY, -ENODEV after one line. [main] */
int exec_may(struct exec *e);
/* From now on client @fd, a socket that is taken over, speaks in frames. After exec_may(). */
void exec_take(struct exec *e, int fd);

/* The guest has reset itself: its commands are lost. No vCPU runs. [main] */
void exec_again(struct exec *e);
/*
 * The run is over, and the devices have drained: each client hears so, by @status and @text. Those
 * that do not read wait for a second at most. [main]
 */
void exec_end(struct exec *e, unsigned status, const char *text);

#endif
