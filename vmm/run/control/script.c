/* SPDX-License-Identifier: MIT */
#include "vmm/run/control/script.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "vmm/core/clock.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/core/opt.h"
#include "vmm/core/text.h"
#include "vmm/core/words.h"
#include "vmm/run/control/command.h"
#include "vmm/run/control/verbs.h"

#define TIME_MAX (1000ull * 3600 * 1000) /* 1000 h, in ms */

static const char on_console[] = "console:";

struct event {
	struct script *script;
	const char *text;  /* as the user has it; borrowed */
	char *request;     /* a line for command_run(); malloc()ed */
	uint64_t ms;       /* after the start, if @wanted is NULL */
	struct loop_source timer; /* fd -1: none */

	char *wanted; /* on the console; malloc()ed */
	unsigned len, matched;           /* of it; under the script's lock */
	uint8_t back[SCRIPT_TEXT_MAX];   /* [n]: as much of it as ends its first n + 1 bytes */
	atomic_bool seen;

	bool done;
	int64_t done_ms;
	json_t *answer;
};

struct script {
	const struct command_host *host;
	struct loop *loop;
	struct loop_source bell; /* an eventfd: something has been seen */
	pthread_mutex_t lock;    /* vCPUs print side by side */
	uint64_t start;          /* CLOCK_MONOTONIC, ms; 0: not yet */
	unsigned count;
	struct event event[];
};

/* From text */

static void learn(struct event *e)
{
	unsigned i, k = 0;

	for (i = 1; i < e->len; i++) {
		while (k && e->wanted[i] != e->wanted[k])
			k = e->back[k - 1];
		k += e->wanted[i] == e->wanted[k];
		e->back[i] = (uint8_t)k;
	}
}

/* When: the first word. -EUSAGE after one line. */
static int take_when(struct event *e, const char *word)
{
	static const struct opt time_opt[] = {
		{ "time", OPT_TIME, offsetof(struct event, ms), .max = TIME_MAX }, { 0 }
	};
	size_t len = strlen(on_console);

	if (strncmp(word, on_console, len))
		return opt_set(time_opt, e, "when", "time", word);
	e->len = (unsigned)strlen(word + len);
	if (!e->len || e->len > SCRIPT_TEXT_MAX) {
		log_err("a text of 1 to %d bytes is wanted after %s", SCRIPT_TEXT_MAX, on_console);
		return -EUSAGE;
	}
	e->wanted = strdup(word + len);
	if (!e->wanted)
		return -ENOMEM;
	learn(e);
	return 0;
}

static int take_words(struct event *e, const struct words_line *line)
{
	json_t *request;
	int r = take_when(e, line->word[0]);

	if (r < 0)
		return r;
	if (line->count < 2) {
		log_err("a command is wanted behind that, as resize lun:0 2G");
		return -EUSAGE;
	}
	if (verb_find(line->word[1])) {
		log_err("%s needs somebody who hears it: lunette ctl", line->word[1]);
		return -EUSAGE;
	}
	request = command_words("command", line->word + 1);
	r = request ? command_check(request) : -EUSAGE;
	if (r == 0) {
		e->request = json_dumps(request, JSON_COMPACT);
		r = e->request ? 0 : -ENOMEM;
	}
	json_decref(request);
	return r;
}

/* @e is all zero. What it has then is for drop(), also after a failure. */
static int parse(struct event *e, const char *text)
{
	struct words_line line, more = { 0 };
	struct words words;
	char said[512];
	int r = words_open(&words, text);

	e->text = text;
	e->timer.fd = -1;
	if (r < 0)
		return r;
	log_hear(said, sizeof(said));
	r = words_next(&words, &line);
	if (r == 1)
		r = take_words(e, &line) ? : words_next(&words, &more);
	else if (r == 0)
		r = 1;
	if (r == 1 || r == -EBADMSG) {
		log_err("'WHEN COMMAND' is wanted, on one line, with its quotes closed");
		r = -EUSAGE;
	}
	log_hear(NULL, 0);
	if (r == -EUSAGE)
		log_err("--at %s: %s", text, said);
	free(line.word);
	free(more.word);
	words_close(&words);
	return r;
}

static void drop(struct event *e)
{
	free(e->request);
	free(e->wanted);
	json_decref(e->answer);
}

int script_check(const struct opt_list *at)
{
	unsigned i;
	int r = 0;

	for (i = 0; r == 0 && i < at->count; i++) {
		struct event e = { 0 };

		r = parse(&e, at->item[i]);
		drop(&e);
	}
	return r;
}

/* While the guest runs */

static void run(struct event *e)
{
	const struct script *s = e->script;
	bool over;
	char *line = command_run(s->host, e->request, strlen(e->request), &over);
	const char *error;

	e->done = true;
	e->done_ms = (int64_t)(now_ms() - s->start);
	e->answer = line ? json_loads(line, 0, NULL) : NULL;
	free(line);
	if (json_is_true(json_object_get(e->answer, "ok")))
		return;
	error = json_string_value(json_object_get(e->answer, "error"));
	log_err("--at %s: %s", e->text, error ? error : strerror(ENOMEM));
}

static void time_has_come(void *arg)
{
	struct event *e = arg;

	loop_del(e->script->loop, &e->timer);
	close(e->timer.fd);
	e->timer.fd = -1;
	run(e);
}

/* In their order, if one line of the console brings several. */
static void bell_rung(void *arg)
{
	struct script *s = arg;
	eventfd_t count;
	unsigned i;

	eventfd_read(s->bell.fd, &count);
	for (i = 0; i < s->count; i++) {
		if (atomic_load(&s->event[i].seen) && !s->event[i].done)
			run(&s->event[i]);
	}
}

static bool see(struct event *e, const char *data, size_t len)
{
	while (len--) {
		char c = *data++;

		while (e->matched && c != e->wanted[e->matched])
			e->matched = e->back[e->matched - 1];
		e->matched += c == e->wanted[e->matched];
		if (e->matched == e->len)
			return true;
	}
	return false;
}

void script_printed(struct script *s, const void *data, size_t len)
{
	bool seen = false;
	unsigned i;

	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	for (i = 0; i < s->count; i++) {
		struct event *e = &s->event[i];

		if (!e->wanted || atomic_load(&e->seen) || !see(e, data, len))
			continue;
		atomic_store(&e->seen, true);
		seen = true;
	}
	pthread_mutex_unlock(&s->lock);
	if (seen)
		eventfd_write(s->bell.fd, 1);
}

static int add_timer(struct event *e)
{
	struct itimerspec when = {
		.it_value = { .tv_sec = (time_t)(e->ms / 1000),
			      .tv_nsec = (long)(e->ms % 1000 * 1000000) },
	};

	if (!e->ms)
		when.it_value.tv_nsec = 1; /* zero is never */
	e->timer = (struct loop_source){ .fn = time_has_come, .arg = e,
					 .fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC) };
	if (e->timer.fd < 0)
		return -errno;
	if (timerfd_settime(e->timer.fd, 0, &when, NULL) < 0)
		return -errno;
	return loop_add(e->script->loop, &e->timer);
}

void script_start(struct script *s)
{
	unsigned i;
	int r;

	if (!s)
		return;
	s->start = now_ms();
	for (i = 0; i < s->count; i++) {
		r = s->event[i].wanted ? 0 : add_timer(&s->event[i]);
		if (r < 0)
			log_err("--at %s: no timer: %s", s->event[i].text, strerror(-r));
	}
}

/* Making and taking down. */

struct script *script_create(const struct opt_list *at, struct loop *loop,
			     const struct command_host *host)
{
	struct script *s = calloc(1, sizeof(*s) + at->count * sizeof(s->event[0]));
	int r = 0;

	if (!s)
		return NULL;
	s->host = host;
	s->loop = loop;
	pthread_mutex_init(&s->lock, NULL);
	s->bell = (struct loop_source){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
					.fn = bell_rung, .arg = s };
	while (r == 0 && s->count < at->count) {
		s->event[s->count].script = s;
		r = parse(&s->event[s->count], at->item[s->count]);
		s->count++;
	}
	if (r == 0 && s->bell.fd >= 0 && loop_add(loop, &s->bell) == 0)
		return s;
	script_destroy(s);
	return NULL;
}

void script_destroy(struct script *s)
{
	unsigned i;

	if (!s)
		return;
	for (i = 0; i < s->count; i++) {
		if (s->event[i].timer.fd >= 0) {
			loop_del(s->loop, &s->event[i].timer);
			close(s->event[i].timer.fd);
		}
		drop(&s->event[i]);
	}
	if (s->bell.fd >= 0) {
		loop_del(s->loop, &s->bell);
		close(s->bell.fd);
	}
	pthread_mutex_destroy(&s->lock);
	free(s);
}

json_t *script_report(const struct script *s)
{
	json_t *list;
	unsigned i;

	if (!s)
		return NULL;
	list = json_array();
	for (i = 0; i < s->count; i++) {
		const struct event *e = &s->event[i];

		json_array_append_new(list, json_pack("{so so so}", "at", text_json(e->text), "ms",
			e->done ? json_integer(e->done_ms) : json_null(), "answer",
			e->answer ? json_incref(e->answer) : json_null()));
	}
	return list;
}
