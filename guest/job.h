/* SPDX-License-Identifier: MIT */
/*
 * job.h - what lunette and the guest's init say to each other about a command.
 *
 * They do so on named ports of a console device. Three are the command's own stdin, stdout and
 * stderr, byte for byte; with a terminal, or where both outputs are one file on the host, there is
 * no stderr. The fourth is for control.
 *
 * To the guest, records that end with a NUL: what to run, up to "go"; "size" also later.
 *
 *	mount=SERIAL:PATH  the disk with this serial number has a file system (EROFS) that is to be
 *	                   at PATH, and can be changed there
 *	live=TAG:PATH      the host's own folder that has this tag (virtiofs) is to be at PATH; or
 *	seen=TAG:PATH      so also this one, to be read only
 *	out=SERIAL:PATH    what is in PATH, the command's $LUNETTE_OUT, goes to this disk at the end
 *	lun=TARGET A B     there are LUNs A to B of this target, once for each controller that has
 *	                   them; if one is not there, or has no driver, the command does not start
 *	port=NAME          so also this port, besides those above,
 *	virtio=ID COUNT    and so many virtio devices with this ID
 *	cwd=PATH           where the command runs
 *	user=WHO           as whom, NAME or NUMBER, and perhaps :GROUP; otherwise as root
 *	env=NAME=VALUE     in its environment
 *	tty=ROWS COLUMNS   it has a terminal, of this size; 0 0: of an unknown one
 *	merge              its stderr is its stdout
 *	shell              its user is greeted
 *	arg=TEXT           it and its arguments
 *	go
 *	size=ROWS COLUMNS  the terminal has another size
 *
 * From the guest, lines:
 *
 *	up             init runs, and has all that it needs
 *	start          so does the command
 *	error TEXT     it does not, and why not; "end" follows
 *	oom N          the guest's kernel has killed N processes for want of memory
 *	exit N         how the command ended: its status ...
 *	signal N       ... or its signal
 *	lost TEXT      not all of $LUNETTE_OUT is on its disk, and why not
 *	out N          N blocks of 512 bytes, a tar archive, are on it
 *	end            files are written back and all is said: the guest may be taken down
 */
#ifndef GUEST_JOB_H
#define GUEST_JOB_H

#define JOB_PORT_CONTROL "lunette.control"
#define JOB_PORT_STDIN "lunette.stdin"
#define JOB_PORT_STDOUT "lunette.stdout"
#define JOB_PORT_STDERR "lunette.stderr"

/* On the kernel's command line: there is a command, and these ports. */
#define JOB_WORD "lunette.job"

#define JOB_SPEC_MAX (96u << 10) /* bytes of all records up to "go" */
#define JOB_LINE_MAX 512	 /* bytes of a line from the guest */

#endif
