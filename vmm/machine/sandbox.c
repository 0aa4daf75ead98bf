/* SPDX-License-Identifier: MIT */
#include "vmm/machine/sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/core/log.h"

/* What a program that is started could get back. Only who has CAP_SETPCAP can empty that. */
static int empty_bounds(void)
{
	unsigned long cap;

	for (cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return -errno;
	}
	return 0;
}

/* What this thread has, may have, and would hand on; with it goes what is ambient. */
static int drop_all(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

int sandbox_enter(void)
{
	int err;

	if (empty_bounds() < 0) /* no_new_privs must do */
		log_debug("sandbox: the bounding set of capabilities cannot be emptied");
	err = drop_all();
	if (err) {
		log_err("sandbox: capabilities cannot be dropped: %s", strerror(-err));
		return err;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
		err = errno;
		log_err("sandbox: no_new_privs: %s", strerror(err));
		return -err;
	}
	return 0;
}
