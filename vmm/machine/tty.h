/* SPDX-License-Identifier: MIT */
/*
 * tty.h - the terminal that is stdin: raw while a guest has it, and given back as
 * it was, whatever way lunette ends. There is one per process.
 *
 * Who ends in good order, or by a signal that can be caught, calls tty_restore().
 * For SIGKILL there is a child that does nothing but hear us end; it is made while
 * there is one thread and no guest memory, which it would share.
 */
#ifndef MACHINE_TTY_H
#define MACHINE_TTY_H

#include <stdbool.h>

/* Remembers how the terminal is, and makes the child. Without a terminal: nothing. [setup] */
void tty_watch(void);
/* The child goes; after tty_restore(). [main] */
void tty_unwatch(void);

/* Every key is somebody else's now. False: stdin is no terminal. [main] */
bool tty_make_raw(void);
/* As it was before; any number of times, also from a signal handler. */
void tty_restore(void);

#endif
