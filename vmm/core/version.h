/* SPDX-License-Identifier: MIT */
/*
 * version.h - which lunette this is, to a commit.
 *
 * VERSION, a compiler's flag, is the release alone, which all objects may have: it changes
 * seldom. This one changes with each commit, so it has an object of its own, which the build makes
 * (packaging/version); programs of the tests have tests/lib's.
 */
#ifndef CORE_VERSION_H
#define CORE_VERSION_H

extern const char lunette_version[];

#endif
