/* SPDX-License-Identifier: MIT */
/*
 * ctl.c - "lunette ctl": what a user types, as a line for a control socket, and
 * the answer in a form to be read.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "vmm/core/help.h"
#include "vmm/core/log.h"
#include "vmm/core/utf8.h"
#include "vmm/machine/cause.h"
#include "vmm/run/control/command.h"
#include "vmm/run/control/verbs.h"
#include "vmm/run/run.h"

#define WAIT_SECONDS 10

struct ctl {
	bool json, wait;
	const char *path;
	FILE *to, *from;
};

static void help_command(const struct command *c, FILE *out)
{
	char left[64];
	size_t at = snprintf(left, sizeof(left), "%s", c->name);
	unsigned i;

	for (i = 0; c->args[i].key && at < sizeof(left); i++)
		at += snprintf(left + at, sizeof(left) - at, i < c->required ? " %s" : " [%s]",
			       c->args[i].arg);
	help_row(out, 37, left, c->help);
}

void ctl_help(FILE *out)
{
	const struct command *c;
	const struct verb *v;
	char left[64];

	fputs("usage: lunette ctl [--json] [--wait] SOCKET COMMAND [ARGUMENT...]\n\n"
	      "Gives a command to the guest of \"lunette run --control SOCKET\".\n\n", out);
	for (c = commands; c->name; c++) {
		if (!verb_find(c->name))
			help_command(c, out);
	}
	for (v = verbs; v->name; v++) {
		snprintf(left, sizeof(left), "%s %s", v->name, v->args);
		help_row(out, 37, left, v->help);
	}
	fputs("\nOptions of exec and shell:\n", out);
	verbs_help(out);
	fputs("\n  --json   prints the answer as it is\n"
	      "  --wait   ends once the guest has looked at what is plugged\n\n"
	      "Exit status: 0; 1 when it could not be done; 200 when this command line is\n"
	      "wrong. Of exec and shell: the command's, or 128 + its signal; 213 when it did\n"
	      "not begin; 209, or the run's own, when the guest has gone.\n",
	      out);
}

static int failed(const char *path, int err, const char *cure)
{
	log_err("ctl: %s: %s%s", path, strerror(err), cure);
	return -err;
}

int ctl_connect(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, err;

	if (strlen(path) >= sizeof(addr.sun_path))
		return failed(path, ENAMETOOLONG, "");
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	err = errno;
	if (fd >= 0)
		close(fd);
	return failed(path, err, "; lunette run --control makes it");
}

static int connect_to(struct ctl *ctl)
{
	int fd = ctl_connect(ctl->path);

	if (fd < 0)
		return fd;
	ctl->to = fdopen(fd, "w");
	ctl->from = fdopen(dup(fd), "r");
	return ctl->to && ctl->from ? 0 : failed(ctl->path, errno, "");
}

/* The answer to @request, whose reference it takes. NULL after one line. */
static json_t *ask(const struct ctl *ctl, json_t *request)
{
	json_t *answer = NULL;
	char *line = NULL;
	size_t size = 0;

	if (json_dumpf(request, ctl->to, JSON_COMPACT) < 0 || fputc('\n', ctl->to) == EOF ||
	    fflush(ctl->to) == EOF || getline(&line, &size, ctl->from) < 0)
		log_err("ctl: %s: the run has ended", ctl->path);
	else if (!(answer = json_loads(line, 0, NULL)))
		log_err("ctl: %s: does not answer as a control socket does", ctl->path);
	free(line);
	json_decref(request);
	return answer;
}

static bool ok(const json_t *answer)
{
	return json_is_true(json_object_get(answer, "ok"));
}

/* For people. */

static void print_value(const json_t *value)
{
	const json_t *item;
	char text[4096];
	size_t i;

	if (json_is_string(value)) {
		utf8_plain(text, sizeof(text), json_string_value(value),
			   json_string_length(value));
		fputs(text, stdout);
	} else if (json_is_integer(value)) {
		printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
	}
	json_array_foreach(value, i, item) {
		fputs(i ? "," : "", stdout);
		print_value(item);
	}
}

/* The name, then each fact. What has no name is no device. */
static void print_device(json_t *object)
{
	const char *id = json_string_value(json_object_get(object, "id")), *key;
	json_t *value;

	if (!id)
		return;
	fputs(id, stdout);
	json_object_foreach(object, key, value) {
		if (!strcmp(key, "id") || !strcmp(key, "ok"))
			continue;
		printf(" %s=", key);
		print_value(value);
	}
	putchar('\n');
}

/* One device, or a list of them. */
static void print_plain(json_t *answer)
{
	json_t *value, *item;
	const char *key;
	size_t i;

	print_device(answer);
	json_object_foreach(answer, key, value)
		json_array_foreach(value, i, item)
			print_device(item);
}

/* Returns the exit status. */
static int print_answer(const struct ctl *ctl, json_t *answer)
{
	const char *error = json_string_value(json_object_get(answer, "error"));
	bool is_ok = ok(answer);

	if (ctl->json) {
		json_dumpf(answer, stdout, JSON_COMPACT);
		putchar('\n');
	} else if (is_ok) {
		print_plain(answer);
	} else {
		log_err("%s", error ? error : "it gives no reason");
	}
	return is_ok ? 0 : 1;
}

/* --wait: whoever has looked at a LUN has sent it a command. */

static json_int_t commands_of(const struct ctl *ctl, const char *id)
{
	json_t *answer = ask(ctl, json_pack("{s:s,s:s}", "do", "counters", "id", id));
	json_int_t count = -1;

	json_unpack(answer, "{s:[{s:I}]}", "counters", "commands", &count);
	json_decref(answer);
	return count;
}

static int wait_for_guest(const struct ctl *ctl, const json_t *plugged)
{
	static const struct timespec pause = { .tv_nsec = 20000000 };
	const char *id = json_string_value(json_object_get(plugged, "id"));
	unsigned tries = WAIT_SECONDS * 1000000000ull / pause.tv_nsec;
	json_int_t seen = 0;

	while (id && tries-- && !(seen = commands_of(ctl, id)))
		nanosleep(&pause, NULL);
	if (seen > 0)
		return 0;
	log_err("ctl --wait: %s: the guest has not looked at it for %d seconds", id ? id : "?",
		WAIT_SECONDS);
	return 1;
}

/* A balloon moves by and by: as long as it does, or until it is where it was to be. */

#define BALLOON_LOOKS 20 /* in a row that are the same */

static json_int_t number_of(const json_t *answer, const char *key)
{
	return json_integer_value(json_object_get(answer, key));
}

/* Statistics come later, too: they are of now once they are younger than the question. */
static bool is_settled(const json_t *answer, bool resized, json_int_t ms)
{
	return resized ? number_of(answer, "memory") == number_of(answer, "target") :
			 json_object_get(answer, "age_ms") && number_of(answer, "age_ms") <= ms;
}

/* Takes @answer over. Returns the last one, NULL after one line. */
static json_t *settle(const struct ctl *ctl, json_t *answer, bool resized)
{
	static const struct timespec pause = { .tv_nsec = 100000000 };
	json_int_t before = -1, ms = 0;
	unsigned same = 0;

	while (answer && ok(answer) && !is_settled(answer, resized, ms) && same < BALLOON_LOOKS) {
		same = number_of(answer, "memory") == before ? same + 1 : 0;
		before = number_of(answer, "memory");
		nanosleep(&pause, NULL);
		ms += pause.tv_nsec / 1000000;
		json_decref(answer);
		answer = ask(ctl, json_pack("{s:s}", "do", "balloon"));
	}
	return answer;
}

static int run(struct ctl *ctl, json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "do"));
	bool resized = json_object_get(request, "size");
	bool is_balloon = name && !strcmp(name, "balloon");
	json_t *answer;
	int status;

	if (connect_to(ctl) < 0) {
		json_decref(request);
		return 1;
	}
	answer = ask(ctl, request);
	if (is_balloon)
		answer = settle(ctl, answer, resized);
	if (!answer)
		return 1;
	status = print_answer(ctl, answer);
	if (!status && ctl->wait)
		status = wait_for_guest(ctl, answer);
	json_decref(answer);
	return status;
}

/* Takes the options, which come first. */
static char **take_options(struct ctl *ctl, char **argv)
{
	for (; *argv; argv++) {
		if (!strcmp(*argv, "--json"))
			ctl->json = true;
		else if (!strcmp(*argv, "--wait"))
			ctl->wait = true;
		else
			break;
	}
	return argv;
}

/* -1: it is none of those that run something. Else its exit status. */
static int run_verb(char **argv)
{
	struct ctl ctl = { 0 };
	const struct verb *v;

	argv = take_options(&ctl, argv);
	v = argv[0] && argv[1] && *argv[0] != '-' ? verb_find(argv[1]) : NULL;
	if (!v)
		return -1;
	if (!ctl.json && !ctl.wait)
		return v->run(argv[0], argv + 2);
	log_err("ctl %s: --json and --wait are not for it", v->name);
	return causes[CAUSE_USAGE].status;
}

/* The command and its arguments, NULL after one line. */
static json_t *parse(struct ctl *ctl, char **argv)
{
	argv = take_options(ctl, argv);
	ctl->path = *argv;
	if (*argv && **argv == '-')
		log_err("ctl: unknown option %s; lunette ctl --help lists them", *argv);
	else if (!argv[0] || !argv[1])
		log_err("ctl: a socket and a command are wanted; lunette ctl --help tells more");
	else if (ctl->wait && strncmp(argv[1], "plug", 4) && command_find(argv[1]))
		log_err("ctl %s: --wait is about what is plugged", argv[1]);
	else
		return command_words("ctl", argv + 1);
	return NULL;
}

/* An argument that is a file of that name is written ./--help. */
static bool wants_help(char **argv)
{
	while (*argv && strcmp(*argv, "--") && !help_wanted(*argv))
		argv++;
	return *argv && help_wanted(*argv);
}

int ctl_main(int argc, char **argv)
{
	struct ctl ctl = { 0 };
	json_t *request;
	int status;

	(void)argc;
	if (wants_help(argv)) {
		ctl_help(stdout);
		return 0;
	}
	status = run_verb(argv);
	if (status >= 0)
		return status;
	request = parse(&ctl, argv);
	if (!request)
		return causes[CAUSE_USAGE].status;
	status = run(&ctl, request);
	if (ctl.to)
		fclose(ctl.to);
	if (ctl.from)
		fclose(ctl.from);
	return status;
}
