/* SPDX-License-Identifier: MIT */
/*
 * wanted.h - what a guest must find before its command may start: all LUNs, ports and interfaces
 * that it was given.
 */
#ifndef RUN_WANTED_H
#define RUN_WANTED_H

#include <stdio.h>

struct device_list;

/* Writes a record of guest/job.h for each kind; adjacent LUNs share one. -ENOMEM. [setup] */
int wanted_put(const struct device_list *list, FILE *spec);

#endif
