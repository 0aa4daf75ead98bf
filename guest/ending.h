/* SPDX-License-Identifier: MIT */
/*
 * ending.h - who asks the first process for an end, as every init is asked.
 *
 * By signals: busybox's poweroff, reboot and halt send SIGUSR2, SIGTERM and SIGUSR1; the kernel
 * sends SIGINT at Ctrl-Alt-Del and a UPS's daemon SIGPWR; systemd's have numbers from SIGRTMIN on.
 * By requests in a FIFO, /run/initctl: so do the programs of sysvinit, and those of systemd where
 * it is not process 1: poweroff, reboot, halt. "systemctl poweroff" asks by D-Bus and nobody else,
 * so it fails here, and says so.
 */
#ifndef GUEST_ENDING_H
#define GUEST_ENDING_H

enum ending { ENDING_NONE, ENDING_POWEROFF, ENDING_REBOOT, ENDING_HALT };

/* What is looked at: poll() both for POLLIN, then ask ending_asked(). fifo -1: there is none. */
struct ending_source {
	int signals; /* of these signals, and of children that end */
	int fifo;
};

/* From now on signals wait until they are looked at. -errno. */
int ending_open(struct ending_source *s);
/* The root file system is the last one: it gets its FIFO. */
void ending_make_fifo(struct ending_source *s);
/* What has been asked for, if anything; what waits is gone then. */
enum ending ending_asked(struct ending_source *s);
/* In a child, before its program: signals are as they were. */
void ending_forget(void);

/* All other processes are asked to go, by SIGTERM. */
void ending_tell_all(void);
/*
 * The end: of all processes, of what is not written yet, and of the machine. Those that were told
 * to go have a little time for that.
 */
void ending_go(enum ending how);

#endif
