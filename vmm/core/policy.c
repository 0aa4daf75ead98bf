/* SPDX-License-Identifier: MIT */
#include "vmm/core/policy.h"

#include <stddef.h>

/* The words of a run; those of a disk are the same and more. */
#define FULL_WORDS [FULL_REPORT] = "report", [FULL_STOP] = "stop", [FULL_FAIL] = "fail"
#define OVERLAY_WORDS [OVERLAY_ON] = "on", [OVERLAY_OFF] = "off"

const char *const vhost_words[] = {
	[VHOST_AUTO] = "auto", [VHOST_ON] = "on", [VHOST_OFF] = "off", NULL
};
const char *const reboot_words[] = {
	[REBOOT_END] = "end", [REBOOT_RESTART] = "restart", NULL
};
const char *const full_words[] = { FULL_WORDS, NULL };
const char *const full_words_of_disks[] = { FULL_WORDS, [FULL_AS_RUN] = "as-run", NULL };
const char *const overlay_words[] = { [OVERLAY_AUTO] = "auto", OVERLAY_WORDS, NULL };
const char *const overlay_words_of_disks[] = {
	[OVERLAY_AUTO] = "as-run", OVERLAY_WORDS, [OVERLAY_COMMIT] = "commit", NULL
};
