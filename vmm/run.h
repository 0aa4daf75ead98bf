/*
 * run.h - the subcommands; each takes the words after its own name, and returns
 * the exit status.
 */
#ifndef VMM_RUN_H
#define VMM_RUN_H

#include <stdint.h>

int run_main(int argc, char **argv);
int ctl_main(int argc, char **argv);
int doctor_main(int argc, char **argv);
int clean_main(int argc, char **argv);
int kernel_check_main(int argc, char **argv);
int matrix_main(int argc, char **argv);

/*
 * Would "lunette run" understand these words? 0, and what the guest then has; -EINVAL after one
 * line. No file is looked at.
 */
int run_check(int argc, char *const *argv, uint64_t *memory, unsigned *cpus);

#endif
