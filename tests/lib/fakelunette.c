/* SPDX-License-Identifier: MIT */
#include "tests/lib/fakelunette.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *json, *junit; /* files */

static void put_file(const char *path, const char *format, const char *word)
{
	FILE *f = path ? fopen(path, "w") : NULL;

	if (!f)
		return;
	fprintf(f, format, word);
	fclose(f);
}

static void wait_for_signal(void)
{
	for (;;)
		pause();
}

static void wait_for_file(const char *path)
{
	static const struct timespec pause = { .tv_nsec = 5000000 };

	while (access(path, F_OK) < 0)
		nanosleep(&pause, NULL);
}

/* One step; returns how many words it has. */
static int step(char **argv)
{
	const char *what = argv[0], *word = argv[1];

	if (!strcmp(what, "--json"))
		json = word;
	else if (!strcmp(what, "--junit"))
		junit = word;
	else if (!strcmp(what, "say"))
		puts(word);
	else if (!strcmp(what, "err"))
		fprintf(stderr, "%s\n", word);
	else if (!strcmp(what, "cause"))
		put_file(json, "{\"cause\": \"%s\"}", word);
	else if (!strcmp(what, "file"))
		put_file(word, "%s", "");
	else if (!strcmp(what, "await"))
		wait_for_file(word);
	else if (!strcmp(what, "kill"))
		kill(getpid(), atoi(word));
	else if (!strcmp(what, "exit"))
		exit(atoi(word));
	else if (!strncmp(what, "--", 2) && what[2])
		return 2;
	else if (!strcmp(what, "junit"))
		put_file(junit, "<testsuites>%s</testsuites>", "");
	else if (!strcmp(what, "wait") || (!strcmp(what, "behind") && fork() == 0))
		wait_for_signal();
	else
		return 1;
	return !strcmp(what, "junit") || !strcmp(what, "behind") ? 1 : 2;
}

void fakelunette_main(int argc, char **argv)
{
	int i;

	if (argc < 2 || strcmp(argv[0], "lunette") || strcmp(argv[1], "run"))
		return;
	setlinebuf(stdout);
	for (i = 2; i < argc;)
		i += step(argv + i);
	exit(0);
}
