/* SPDX-License-Identifier: MIT */
#include "vmm/machine/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

#include "vmm/core/log.h"

int sandbox_enter(void)
{
	capng_clear(CAPNG_SELECT_BOTH);
	/* Only who has CAP_SETPCAP can empty the bounding set; for others no_new_privs must do. */
	if (capng_apply(CAPNG_SELECT_BOUNDS) < 0)
		log_debug("sandbox: the bounding set of capabilities cannot be emptied");
	if (capng_apply(CAPNG_SELECT_CAPS) < 0) {
		log_err("sandbox: capabilities cannot be dropped");
		return -EPERM;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
		int err = errno;

		log_err("sandbox: no_new_privs: %s", strerror(err));
		return -err;
	}
	return 0;
}
