/*
 * picture.h - what can still be said of a guest that has come to a bad end: where
 * its vCPUs are, and the last lines of its console.
 */
#ifndef VMM_PICTURE_H
#define VMM_PICTURE_H

#include "vmm/limits.h"

struct machine;

/* What limits do with a struct machine. */
extern const struct limits_ops picture_limits;

/*
 * The run is over: shows on stderr what has not been shown yet and is of use with @m->cause. After
 * the vCPUs have been stopped. [main]
 */
void picture_end(struct machine *m);

#endif
