/* SPDX-License-Identifier: MIT */
/*
 * version.c - programs of the tests need not be linked anew for each commit.
 */
#include "vmm/core/version.h"

const char lunette_version[] = VERSION "-tests";
