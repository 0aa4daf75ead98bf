/* SPDX-License-Identifier: MIT */
/*
 * fail.h - what set-up fails with that no errno says.
 *
 * A function of set-up returns 0 or a negative number. An errno value is the word of the kernel or
 * of a library about this host: EINVAL is no exception. The numbers here are ours. They are beyond
 * all errno values, which Linux ends at 4095, so no system call gives one of them by chance. Where
 * a function returns NULL and errno tells, they are also in errno.
 *
 * Who makes such a number has written the one line that says what is wrong; strerror() does not
 * know them. All pass them up as they are. cause_of_err() (vmm/machine/cause.h) makes exit statuses
 * of them, and of errno values.
 */
#ifndef CORE_FAIL_H
#define CORE_FAIL_H

#define EUSAGE 4096     /* what the user asks for makes no sense, whatever there is on this host */
#define EOVERLIMIT 4097 /* a limit of this host's on memory has no room for the guest */
#define ENOKVM 4098     /* /dev/kvm is missing, forbidden, busy or too old */

#endif
