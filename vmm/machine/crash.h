/* SPDX-License-Identifier: MIT */
/*
 * crash.h - what is left to do when lunette itself fails: the terminal is given
 * back, a line says that it is a bug and what to report, and the exit status is
 * CAUSE_BUG's. Who wants a core dump (ulimit -c) gets it, and the signal's status.
 */
#ifndef MACHINE_CRASH_H
#define MACHINE_CRASH_H

/* For the whole process, from now on. [setup] */
void crash_setup(void);

/*
 * Ends the process without its teardown, which would wait for what hangs. The kernel closes the
 * files, and keeps the guest's memory for as long as it may still write into it. Any thread.
 */
void crash_leave(int status) __attribute__((noreturn));

#endif
