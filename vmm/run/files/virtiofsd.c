/* SPDX-License-Identifier: MIT */
#include "vmm/run/files/virtiofsd.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/core/clock.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/run/files/enclosed.h"

#define NAME "virtiofsd"
#define CURE "as root: apt-get install virtiofsd (Debian 13, Ubuntu 24.04); QEMU's own, of 7.2 " \
	"and older, serves root"
#define START_MS 20000
#define END_MS 5000
#define ARGS_MAX 24
#define NOBODY 65534 /* whom those are shown as who are not in a user namespace */

/* Where it is that no PATH has. */
static const char *const places[] = {
	"/usr/libexec/" NAME, "/usr/lib/" NAME, "/usr/lib/qemu/" NAME,
};

/* Which program. */

/* Can this be run? */
static bool take(struct virtiofsd_program *p, const char *dir, size_t len, const char *name)
{
	return snprintf(p->path, sizeof(p->path), "%.*s%s", (int)len, dir, name) <
	       (int)sizeof(p->path) && access(p->path, X_OK) == 0;
}

static bool look(struct virtiofsd_program *p)
{
	const char *path = getenv("PATH"), *end;
	unsigned i;

	for (; path; path = *end ? end + 1 : NULL) {
		end = path + strcspn(path, ":");
		if (take(p, path, end - path, "/" NAME))
			return true;
	}
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		if (take(p, places[i], strlen(places[i]), ""))
			return true;
	}
	return false;
}

/* What its --help says, malloc()ed, and what it says to stderr. NULL: nothing comes. */
static char *help_of(const char *path, char *words, size_t size)
{
	const char *const argv[] = { path, "--help", NULL };
	int out = memfd_create("help", MFD_CLOEXEC);
	const struct child_spec spec = { .argv = argv, .out = out, .sig = SIGKILL };
	struct child child = CHILD_NONE;
	const size_t most = 64 << 10;
	char *text = out < 0 ? NULL : malloc(most);
	ssize_t n = 0;

	*words = 0;
	if (text && child_start(&child, &spec) == 0) {
		child_await(&child, -1, START_MS);
		child_words(&child, words, size);
		child_end(&child, SIGKILL, 0);
		n = pread(out, text, most - 1, 0);
	}
	if (text)
		text[n < 0 ? 0 : n] = 0;
	if (out >= 0)
		close(out);
	return text;
}

/* QEMU's ends at once where it cannot leave its groups, as users cannot. */
int virtiofsd_find(struct virtiofsd_program *p, char *why, size_t size)
{
	char *help, words[256];
	bool known;

	*p = (struct virtiofsd_program){ 0 };
	if (!look(p)) {
		snprintf(why, size, "there is no " NAME "; " CURE);
		return -ENOENT;
	}
	help = help_of(p->path, words, sizeof(words));
	p->old = help && strstr(help, "-o source=");
	p->readonly = help && strstr(help, "--readonly");
	p->submounts = help && strstr(help, "--no-announce-submounts");
	p->translates = help && strstr(help, "--translate-uid");
	known = p->old || (help && strstr(help, "--shared-dir"));
	free(help);
	if (known)
		return 0;
	snprintf(why, size, "%s is no " NAME " that serves here%s%s; " CURE, p->path,
		 *words ? ": " : "", words);
	return -EPROTO;
}

/* How it is called. */

struct call {
	const char *arg[ARGS_MAX + 1];
	unsigned n;
	char text[4][64]; /* what is made for this call */
	unsigned ntext;
};

static void say(struct call *c, const char *word)
{
	BUG_ON(c->n == ARGS_MAX);
	c->arg[c->n++] = word;
}

/* "--translate-@what=@kind:@from:@to:@count" */
static void translate(struct call *c, const char *what, const char *kind, unsigned from,
		      unsigned to, unsigned count)
{
	char *text = c->text[c->ntext++];

	BUG_ON(c->ntext > ARRAY_SIZE(c->text));
	snprintf(text, sizeof(c->text[0]), "--translate-%s=%s:%u:%u:%u", what, kind, from, to,
		 count);
	say(c, text);
}

/* In its user namespace we are 0, and all others nobody. */
static void put_owners(struct call *c, bool owners)
{
	if (!owners) { /* who makes something in the guest need not be root there */
		translate(c, "uid", "squash-guest", 0, 0, UINT_MAX);
		translate(c, "gid", "squash-guest", 0, 0, UINT_MAX);
		return;
	}
	translate(c, "uid", "host", 0, geteuid(), 1);
	translate(c, "uid", "squash-host", NOBODY, 0, 1);
	translate(c, "gid", "host", 0, getegid(), 1);
	translate(c, "gid", "squash-host", NOBODY, 0, 1);
}

static void put_call(struct call *c, const struct virtiofsd_program *p,
		     const struct virtiofsd_cfg *cfg)
{
	say(c, p->path);
	say(c, "--fd=3");
	if (p->old) {
		say(c, "-f");
		say(c, "-osandbox=chroot,source=" ENCLOSED_AT);
		return;
	}
	say(c, "--sandbox=chroot");
	say(c, "--shared-dir=" ENCLOSED_AT);
	if (cfg->readonly && p->readonly)
		say(c, "--readonly");
	if (p->submounts)
		say(c, "--no-announce-submounts");
	if (p->translates && geteuid())
		put_owners(c, cfg->owners);
}

/* Its start. */

/* The newer one has the time, and more, in front of what it says. */
static void words_of(const struct child *c, char *text, size_t size)
{
	char *end;

	child_words(c, text, size);
	end = *text == '[' ? strstr(text, "] ") : NULL;
	if (end)
		memmove(text, end + 2, strlen(end + 2) + 1);
}

/* Until it says that it waits for who is to be served. False: @text is what it has said last. */
static bool await(const struct child *c, char *text, size_t size)
{
	uint64_t now = now_ms(), until = now + START_MS;
	char words[512];

	for (*text = 0; now < until; now = now_ms()) {
		child_await(c, c->messages, (int)(until - now));
		words_of(c, words, sizeof(words));
		if (strstr(words, "aiting for vhost-user"))
			return true;
		if (*words)
			snprintf(text, size, "%s", words);
		else if (child_await(c, -1, 0)) /* nothing more comes */
			return false;
	}
	return false;
}

/* A user namespace is what may be refused: by switches, or by a container. */
static void tell(const struct enclosed *e, int err, char *why, size_t size)
{
	bool refused = err == EPERM || err == EACCES || err == ENOSPC;

	snprintf(why, size, "virtiofsd cannot be shut in, as there is to be %s: %s%s", e->failed,
		 strerror(err), !refused ? "" :
		 "; user namespaces are wanted: lunette doctor tells what is in the way");
}

int virtiofsd_start(struct virtiofsd *v, const struct virtiofsd_cfg *cfg, char *why, size_t size)
{
	struct enclosed e = { .dir = cfg->dir, .readonly = cfg->readonly,
			      .covered = cfg->covered, .ncovered = cfg->ncovered };
	int r = virtiofsd_find(&v->program, why, size), listening;
	struct call call = { 0 };
	struct child_spec spec = { .argv = call.arg, .given = &listening, .ngiven = 1, .out = -1,
				   .sig = SIGKILL, .prepare = enclosed_enter, .arg = &e };
	char said[512];

	if (r < 0)
		return r;
	if (cfg->owners && geteuid() && !v->program.translates) {
		snprintf(why, size, "%s cannot say whose files are, as virtiofsd 1.13 and newer "
			 "can (Debian 13)", v->program.path);
		return -EOPNOTSUPP;
	}
	put_call(&call, &v->program, cfg);
	enclosed_init(&e);
	log_hear(why, size);
	listening = child_listen(NAME, &v->at);
	log_hear(NULL, 0);
	if (listening < 0)
		return listening;
	r = child_start(&v->child, &spec);
	close(listening);
	if (r < 0 && e.failed) {
		tell(&e, -r, why, size);
	} else if (r < 0) {
		snprintf(why, size, "%s: %s", v->program.path, strerror(-r));
	} else if (!await(&v->child, said, sizeof(said))) {
		snprintf(why, size, "%s does not begin: %s", v->program.path,
			 *said ? said : "it does not say why");
		r = -EPIPE;
	}
	if (r < 0)
		virtiofsd_end(v);
	return r;
}

void virtiofsd_words(const struct virtiofsd *v, char *text, size_t size)
{
	words_of(&v->child, text, size);
}

void virtiofsd_end(struct virtiofsd *v)
{
	child_end(&v->child, SIGTERM, END_MS);
	if (v->at >= 0)
		close(v->at);
	v->at = -1;
}
