/*
 * run.h - the subcommands; each takes the words after its own name, and returns
 * the exit status.
 */
#ifndef VMM_RUN_H
#define VMM_RUN_H

int run_main(int argc, char **argv);
int ctl_main(int argc, char **argv);
int doctor_main(int argc, char **argv);
int clean_main(int argc, char **argv);
int kernel_check_main(int argc, char **argv);

#endif
