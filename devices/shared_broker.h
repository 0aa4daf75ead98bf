/* SPDX-License-Identifier: MIT */
/*
 * shared_broker.h - the process that serves a shared disk to all guests that have
 * it: one SCSI target, so that their reservations are in one place.
 *
 * lunette itself, started by the first guest, and no guest's child: it ends when the
 * last guest has gone, however that has ended. It listens at a socket
 * (shared_join.h), and serves each guest by the vhost-user protocol (user_serve.h)
 * with two threads of its own: one hears what the guest's process says, the other does
 * what its driver asks for.
 */
#ifndef DEVICES_SHARED_BROKER_H
#define DEVICES_SHARED_BROKER_H

/*
 * @argv: the name of the disk, and the path of the socket, which is open as SHARED_LISTENER. The
 * process that calls this leaves it at once; its child goes on, returns when all is over, and has
 * no threads then. @confine is called when the disk is open, before there are threads: it gives up
 * rights. 0; -errno after one line: it did not begin.
 */
int shared_broker(int argc, char **argv, int (*confine)(void));

#endif
