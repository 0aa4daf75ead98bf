/* SPDX-License-Identifier: MIT */
/*
 * console.h - the user's terminal, as the guest's console.
 *
 * With a terminal as stdin it is put into raw mode while the guest runs: every
 * key goes to the guest, ^C too. Ctrl-A x ends the run, Ctrl-A Ctrl-A sends one
 * Ctrl-A. The terminal is given back as it was by console_stop(), and if we
 * never get there by tty.c. A change of its size (SIGWINCH) is told.
 *
 * Output goes straight out, and is watched for the line with which a Linux
 * kernel panics, for kernels that have no better way to say so.
 */
#ifndef MACHINE_CONSOLE_H
#define MACHINE_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

struct console_log;
struct loop;
struct platform;

/* Who is told. */
struct console_host {
	void (*printed)(void *arg, const void *data, size_t len); /* by the guest. Any thread */
	void (*quit)(void *arg);                                  /* Ctrl-A x was typed. [main] */
	void *arg;
};

/* Offers itself to the platform's devices. NULL after one line. [setup] */
struct console *console_create(const struct console_host *host, struct platform *p,
			       struct loop *loop);
void console_destroy(struct console *con);

/*
 * From now on what the guest prints is kept, but not shown: stdout is somebody else's. Only if
 * @keys is what is typed read, for whom is attached last. [setup]
 */
void console_set_quiet(struct console *con, bool keys);
bool console_is_quiet(const struct console *con);
/* All that the guest prints; the console's own. */
struct console_log *console_get_log(const struct console *con);

/* Takes the terminal and begins to read. [main] */
void console_start(struct console *con);
/*
 * A SysRq key for the guest's kernel, on its console: by a serial port's break, or as hvc consoles
 * have it. -EAGAIN after one line. [main]
 */
int console_sysrq(struct console *con, char key);
/* Output that waits for a reader is given up, so that no vCPU hangs on it. Any thread. */
void console_hurry(struct console *con);
/* Gives the terminal back. [main] */
void console_stop(struct console *con);

/* How many bytes the guest has printed. Any thread. */
unsigned long console_printed(const struct console *con);
/* Has the guest printed that its kernel panicked? Any thread. */
bool console_saw_panic(const struct console *con);

#endif
