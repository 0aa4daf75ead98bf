/*
 * crash.h - what is left to do when lunette itself fails: the terminal is given
 * back, a line says that it is a bug and what to report, and the exit status is
 * CAUSE_BUG's. Who wants a core dump (ulimit -c) gets it, and the signal's status.
 */
#ifndef VMM_CRASH_H
#define VMM_CRASH_H

/* For the whole process, from now on. [setup] */
void crash_setup(void);

#endif
