/* SPDX-License-Identifier: MIT */
#include "vmm/run/control/verbs.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/machine/cause.h"
#include "vmm/run/control/control.h"
#include "vmm/run/control/remote.h"

static const struct opt exec_opts[] = {
	{ "tty", OPT_BOOL, offsetof(struct remote_cfg, tty), .letter = 't',
	  .help = "the command has a terminal, which is this one" },
	{ "env", OPT_LIST, offsetof(struct remote_cfg, env), .arg = "NAME[=VALUE]",
	  .help = "a variable of its environment; without a value, as it is here" },
	{ "cwd", OPT_STR, offsetof(struct remote_cfg, cwd), .arg = "DIR",
	  .help = "where in the guest it runs" },
	{ "user", OPT_STR, offsetof(struct remote_cfg, user), .arg = "NAME[:GROUP]",
	  .help = "as whom, by the guest's own files or a number; else root" },
	{ 0 }
};

void verbs_help(FILE *out)
{
	opt_help(exec_opts, "--", out);
}

/* The line that answers, without its end. False: there is none. */
static bool read_line(int fd, char *line, size_t size)
{
	size_t n = 0;

	while (n < size - 1 && recv(fd, line + n, 1, 0) == 1 && line[n] != '\n')
		n++;
	line[n] = 0;
	return n;
}

/* A connection that speaks in frames from now on. -1 after one line. */
static int open_exec(const char *what, const char *socket)
{
	static const char request[] = "{\"do\":\"exec\"}\n";
	char line[CONTROL_LINE_MAX];
	int fd = ctl_connect(socket);
	const char *error;
	json_t *answer;

	if (fd < 0)
		return -1;
	if (send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request) ||
	    !read_line(fd, line, sizeof(line))) {
		log_err("%s: %s: the run has ended", what, socket);
		close(fd);
		return -1;
	}
	answer = json_loads(line, 0, NULL);
	if (json_is_true(json_object_get(answer, "ok"))) {
		json_decref(answer);
		return fd;
	}
	error = json_string_value(json_object_get(answer, "error"));
	log_err("%s: %s", what, error ? error : "the answer makes no sense");
	json_decref(answer);
	close(fd);
	return -1;
}

int verbs_remote(const char *socket, const struct remote_cfg *cfg)
{
	int fd = open_exec(cfg->what, socket);

	return fd < 0 ? 1 : remote_run(cfg, fd);
}

/* Options, and the command if there may be one. False after one line. */
static bool take_words(struct remote_cfg *cfg, char **words, bool command)
{
	struct opt_reader r = { exec_opts, cfg, "--", 0 };
	int n = 0;

	for (; *words && strcmp(*words, "--"); words += n) {
		n = opt_word(&r, words);
		if (n < 0)
			return false;
		if (n == 0) {
			log_err("%s: '%s' is no option of it%s; lunette ctl --help lists them",
				cfg->what, *words,
				command ? ", and a command stands behind --" : "");
			return false;
		}
	}
	if (*words && !strcmp(*words, "--"))
		words++;
	if (command)
		cfg->argv = words;
	if (!command && *words) {
		log_err("%s: '%s' is one word too many", cfg->what, *words);
		return false;
	}
	if (!*cfg->argv) {
		log_err("%s: no command after --", cfg->what);
		return false;
	}
	if (cfg->cwd && *cfg->cwd != '/') {
		log_err("%s: --cwd %s: a path in the guest is wanted that begins with /",
			cfg->what, cfg->cwd);
		return false;
	}
	return true;
}

static int run_words(const char *socket, struct remote_cfg *cfg, char **words, bool command)
{
	int status = causes[CAUSE_USAGE].status;

	cfg->in = STDIN_FILENO;
	cfg->out = STDOUT_FILENO;
	cfg->err = STDERR_FILENO;
	if (!take_words(cfg, words, command))
		;
	else if (cfg->tty && !isatty(STDIN_FILENO))
		log_err("%s: --tty: stdin is not a terminal", cfg->what);
	else
		status = verbs_remote(socket, cfg);
	opt_free(exec_opts, cfg);
	return status;
}

static int exec(const char *socket, char **words)
{
	struct remote_cfg cfg = { .what = "ctl exec" };

	return run_words(socket, &cfg, words, true);
}

static int shell(const char *socket, char **words)
{
	static char *const argv[] = { "sh", "-l", NULL };
	struct remote_cfg cfg = { .what = "ctl shell", .argv = argv,
				  .tty = isatty(STDIN_FILENO) };

	return run_words(socket, &cfg, words, false);
}

const struct verb verbs[] = {
	{ "exec", "[OPTION...] -- CMD...", "a command in the guest, its streams and status here",
	  exec },
	{ "shell", "[OPTION...]", "a shell in the guest, on this terminal", shell },
	{ "cp", "SRC DST", "a file or folder to the guest, or from it: :PATH is there", cp_main },
	{ 0 }
};

const struct verb *verb_find(const char *name)
{
	const struct verb *v;

	for (v = verbs; v->name; v++) {
		if (!strcmp(v->name, name))
			return v;
	}
	return NULL;
}
