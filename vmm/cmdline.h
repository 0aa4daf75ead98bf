/*
 * cmdline.h - the words that the guest's kernel is given.
 */
#ifndef VMM_CMDLINE_H
#define VMM_CMDLINE_H

#define CMDLINE_MAX 2048

struct machine;
struct machine_cfg;

/*
 * The architecture's words, what the options stand for, and --append. After the devices. -EINVAL
 * after one line. [setup]
 */
int cmdline_put(const struct machine *m, const struct machine_cfg *cfg, char cmdline[CMDLINE_MAX]);

#endif
