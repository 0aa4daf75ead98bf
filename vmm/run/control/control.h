/* SPDX-License-Identifier: MIT */
/*
 * control.h - the control socket: who may open PATH may give commands
 * (command.h), each a line, to the machine while it runs.
 *
 * It is served on the main loop, which waits for no client: a client that does
 * not read its answer gets no other one, and keeps nobody else waiting.
 */
#ifndef RUN_CONTROL_H
#define RUN_CONTROL_H

struct command_host;
struct control;
struct loop;

#define CONTROL_CLIENTS_MAX 144 /* also those that come to run a command each (exec.h) */
#define CONTROL_LINE_MAX 8192 /* bytes of a command, with its end */

/*
 * Makes the socket, for its owner alone, in the place of one that a killed run has left. @host is
 * borrowed. NULL after one line. [setup]
 */
struct control *control_create(const char *path, struct loop *loop,
			       const struct command_host *host);
/* Removes the socket, drops its clients. The loop runs no more. NULL: nothing to do. */
void control_destroy(struct control *control);

#endif
