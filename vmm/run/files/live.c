/* SPDX-License-Identifier: MIT */
#include "vmm/run/files/live.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/fail.h"
#include "vmm/core/log.h"

/* Is @word @key's? Then what it says. -EUSAGE: neither on nor off. */
static int take(const char *word, const char *key, bool *value, bool *found)
{
	size_t len = strlen(key);

	*found = !strncmp(word, key, len);
	if (!*found)
		return 0;
	*value = !strcmp(word + len, "on");
	return *value || !strcmp(word + len, "off") ? 0 : -EUSAGE;
}

int live_options(const char *option, char *text, struct live_options *to)
{
	bool live, rw;
	char *comma;
	int r;

	*to = (struct live_options){ 0 };
	while ((comma = strrchr(text, ','))) {
		r = take(comma + 1, "live=", &to->live, &live);
		if (!r && !live)
			r = take(comma + 1, "rw=", &to->rw, &rw);
		if (r < 0) {
			log_err("%s %s: %s: on or off is wanted", option, text, comma + 1);
			return r;
		}
		if (!live && !rw)
			break;
		*comma = 0;
	}
	if (!to->rw || to->live)
		return 0;
	log_err("%s %s: rw=on is for live=on; of a copy nothing that the guest writes is kept",
		option, text);
	return -EUSAGE;
}

/* In the value of a device's option a comma is written twice. */
static void put_escaped(FILE *out, const char *text)
{
	for (; *text; text++) {
		fputc(*text, out);
		if (*text == ',')
			fputc(',', out);
	}
}

static int describe(struct live *l, const char *tag, const struct virtiofsd_cfg *cfg)
{
	size_t len;
	FILE *out = open_memstream(&l->device, &len);

	if (!out)
		return -ENOMEM;
	fprintf(out, "vhost-user-fs,socket=/proc/self/fd/%d,tag=%s,by=", l->server.at, tag);
	put_escaped(out, l->server.program.path);
	fputs(",, for ", out);
	put_escaped(out, cfg->dir);
	fprintf(out, " (to be read%s),, in namespaces of its own",
		cfg->readonly ? "" : " and written");
	if (cfg->ncovered)
		fprintf(out, " where %u files and folders are hidden", cfg->ncovered);
	return fclose(out) == 0 ? 0 : -ENOMEM;
}

int live_open(struct live *l, const char *what, const char *tag, const struct virtiofsd_cfg *cfg,
	      char *why, size_t size)
{
	int r = virtiofsd_start(&l->server, cfg, why, size);

	if (r < 0)
		return r;
	l->what = strdup(what);
	r = l->what ? describe(l, tag, cfg) : -ENOMEM;
	if (r < 0) {
		snprintf(why, size, "%s", strerror(-r));
		live_close(l);
	}
	return r;
}

static void ended(void *arg)
{
	struct live *l = arg;
	char words[512];

	loop_pause(l->loop, &l->ended);
	virtiofsd_words(&l->server, words, sizeof(words));
	log_err("%s: virtiofsd has ended, and the run ends here, as nobody else knows what the "
		"guest has open there%s%s", l->what, *words ? ": " : "", words);
	l->gone(l->arg);
}

int live_watch(struct live *l, struct loop *loop, void (*gone)(void *arg), void *arg)
{
	int r;

	l->gone = gone;
	l->arg = arg;
	l->ended = (struct loop_source){ .fd = l->server.child.fd, .fn = ended, .arg = l };
	r = loop_add(loop, &l->ended);
	l->loop = r < 0 ? NULL : loop;
	return r;
}

void live_unwatch(struct live *l)
{
	if (l->loop)
		loop_del(l->loop, &l->ended);
	l->loop = NULL;
}

void live_close(struct live *l)
{
	live_unwatch(l);
	virtiofsd_end(&l->server);
	free(l->device);
	free(l->what);
	*l = LIVE_NONE;
}
