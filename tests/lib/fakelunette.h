/* SPDX-License-Identifier: MIT */
/*
 * fakelunette.h - a test program that, called as "lunette run", is a run of a matrix.
 *
 * What it does is said by the words of its command line, in their order:
 *
 *	say TEXT     on stdout, with an end of line
 *	err TEXT     likewise, on stderr
 *	cause NAME   the report names this cause; without, there is no report
 *	junit        a report for CI systems, where one is asked for
 *	file NAME    makes an empty file, where it runs
 *	wait         for a signal that ends it
 *	await NAME   until there is that file
 *	behind       leaves a process behind, which waits
 *	kill N       ends by signal N
 *	exit N       with this status; without, 0
 *
 * Who sends it a signal has to wait for a file that it makes: before, it is still the test, with
 * the signal handlers of that.
 */
#ifndef TESTS_FAKELUNETTE_H
#define TESTS_FAKELUNETTE_H

/* In main(): are we called as such a run? Then it does that, and does not return. */
void fakelunette_main(int argc, char **argv);

#endif
