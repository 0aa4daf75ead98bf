/* SPDX-License-Identifier: MIT */
/*
 * run.h - the subcommands; each takes the words after its own name, and returns
 * the exit status. Beside each is what it prints when somebody asks for help.
 */
#ifndef RUN_RUN_H
#define RUN_RUN_H

#include <stdint.h>

#include "vmm/core/opt.h"
#include <stdio.h>

struct claims;

int run_main(int argc, char **argv);
int ctl_main(int argc, char **argv);
int doctor_main(int argc, char **argv);
int clean_main(int argc, char **argv);
int kernel_main(int argc, char **argv);
int matrix_main(int argc, char **argv);
int serve_main(int argc, char **argv);

void run_help(FILE *out);
void ctl_help(FILE *out);
void doctor_help(FILE *out);
void clean_help(FILE *out);
void kernel_help(FILE *out);
void matrix_help(FILE *out);
void serve_help(FILE *out);

/*
 * Would "lunette run" understand these words? 0, and what the guest then has; -errno after one
 * line. No file is looked at. @written hears of all that the run would write to, its value without
 * what is not a name.
 */
int run_check(int argc, char *const *argv, uint64_t *memory, unsigned *cpus, opt_hear *written,
	      void *arg);

/*
 * Files in @folder that a command line may mean by its words, up to "--", but for those of --json
 * and --junit; each is open, by O_PATH. Returns the first result of @fn that is not 0.
 */
typedef int run_name(void *arg, const char *name, int fd);
int run_each_name(int folder, char *const *words, run_name *fn, void *arg);

/* A copy that may be cut up, as options are; NULL: no memory. */
char **run_copy_words(int argc, char *const *argv);
void run_free_words(char **words);

/* None of them is an output in @claims: -EUSAGE after one line for each that is. */
int run_spare_words(struct claims *claims, int folder, char *const *words);

#endif
