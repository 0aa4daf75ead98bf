/* SPDX-License-Identifier: MIT */
#include "vmm/run/files/host_root.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

#define WORD "host"

/* The kernel's, and what belongs to processes that run. */
static const char *const always[] = { "/proc", "/sys", "/dev", "/run" };

/* Below a home, and elsewhere: keys, passwords, tokens, and what a browser knows. */
static const char *const at_home[] = {
	".ssh", ".gnupg", ".aws", ".azure", ".kube", ".netrc", ".authinfo", ".git-credentials",
	".npmrc", ".pypirc", ".pgpass", ".my.cnf", ".vault-token", ".terraform.d",
	".password-store", ".docker", ".cargo/credentials", ".cargo/credentials.toml",
	".gem/credentials", ".m2/settings.xml", ".gradle/gradle.properties", ".config/gcloud",
	".config/gh", ".config/hub", ".config/git/credentials", ".config/containers/auth.json",
	".config/op", ".config/rclone", ".config/sops", ".config/google-chrome",
	".config/chromium", ".config/BraveSoftware", ".config/microsoft-edge", ".mozilla",
	".thunderbird", "snap/firefox", "snap/chromium", ".var/app", ".local/share/keyrings",
	".local/share/kwalletd", ".pki",
};
static const char *const elsewhere[] = {
	"/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/krb5.keytab",
	"/etc/ssl/private", "/etc/ssh/ssh_host_rsa_key", "/etc/ssh/ssh_host_ecdsa_key",
	"/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_dsa_key",
};

bool host_root_is_one(const char *text)
{
	size_t len = strlen(WORD);

	return text && !strncmp(text, WORD, len) && (!text[len] || text[len] == ',');
}

/* Are secrets there? -EUSAGE: it does not say. */
static int wants_secrets(const char *text)
{
	const char *more = text + strlen(WORD);

	if (!*more || !strcmp(more, ",secrets=off"))
		return 0;
	return !strcmp(more, ",secrets=on") ? 1 : -EUSAGE;
}

int host_root_check(const char *text, bool command)
{
	if (wants_secrets(text) < 0)
		log_err("--root %s: host, or host,secrets=on is wanted; a folder of that name is "
			"./host", text);
	else if (!command)
		log_err("--root %s: is for a command, given after --, or a shell, -t; this "
			"system's own init would start all that it starts here", text);
	else
		return 0;
	return -EUSAGE;
}

/* The user's entry in @passwd, in *@home and as a result; false: there is none. */
static bool find_user(const char *passwd, char *home, size_t size)
{
	FILE *file = fopen(passwd, "re");
	struct passwd *p = NULL;

	while (file && (p = fgetpwent(file)) && p->pw_uid != geteuid())
		;
	if (p)
		snprintf(home, size, "%s", p->pw_dir);
	if (file)
		fclose(file);
	return p;
}

/* What is really there, as links may lead to it. False: no memory. */
static bool hide(char **list, unsigned *n, const char *home, const char *name)
{
	char path[2 * PATH_MAX], *real;

	snprintf(path, sizeof(path), "%s%s%s", home, *home ? "/" : "", name);
	real = realpath(path, NULL);
	if (real && strcmp(real, "/"))
		list[(*n)++] = real;
	else
		free(real);
	return real || errno != ENOMEM;
}

char **host_root_hidden(bool secrets)
{
	const char *home = getenv("HOME");
	char own[PATH_MAX] = "", ticket[40];
	char **list = calloc(ARRAY_SIZE(always) + ARRAY_SIZE(elsewhere) + 1 +
			     2 * ARRAY_SIZE(at_home) + 1, sizeof(*list));
	unsigned i, n = 0;
	bool well = list;

	for (i = 0; well && i < ARRAY_SIZE(always); i++)
		well = hide(list, &n, "", always[i]);
	if (secrets)
		return list;
	for (i = 0; well && i < ARRAY_SIZE(elsewhere); i++)
		well = hide(list, &n, "", elsewhere[i]);
	snprintf(ticket, sizeof(ticket), "/tmp/krb5cc_%u", (unsigned)geteuid()); /* Kerberos */
	well = well && hide(list, &n, "", ticket);
	for (i = 0; well && home && *home == '/' && i < ARRAY_SIZE(at_home); i++)
		well = hide(list, &n, home, at_home[i]);
	if (find_user("/etc/passwd", own, sizeof(own)) && home && !strcmp(home, own))
		*own = 0;
	for (i = 0; well && *own == '/' && i < ARRAY_SIZE(at_home); i++)
		well = hide(list, &n, own, at_home[i]);
	if (well)
		return list;
	host_root_free(list);
	return NULL;
}

void host_root_free(char **list)
{
	char **item;

	for (item = list; item && *item; item++)
		free(*item);
	free(list);
}

/* Who is in no file is so by numbers alone, without further groups. Root is whom commands have. */
static int put_user(struct oci *oci)
{
	char home[PATH_MAX];
	int n;

	if (!geteuid())
		return 0;
	if (find_user("/etc/passwd", home, sizeof(home)))
		n = asprintf(&oci->user, "%u", (unsigned)geteuid());
	else
		n = asprintf(&oci->user, "%u:%u", (unsigned)geteuid(), (unsigned)getegid());
	if (n < 0)
		oci->user = NULL;
	return n < 0 ? -ENOMEM : 0;
}

static int put_surroundings(struct oci *oci)
{
	static const char *const names[] = { "PATH", "HOME", "TERM" };
	const char *values[] = { getenv("PATH"), getenv("HOME"), getenv("TERM") };
	unsigned i, n = 0;

	oci->env = calloc(ARRAY_SIZE(names) + 1, sizeof(*oci->env));
	oci->workdir = get_current_dir_name();
	if (!oci->env || !oci->workdir)
		return -ENOMEM;
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (!values[i])
			continue;
		if (asprintf(&oci->env[n], "%s=%s", names[i], values[i]) < 0) {
			oci->env[n] = NULL;
			return -ENOMEM;
		}
		n++;
	}
	return put_user(oci);
}

static int serve(const char *what, char **hidden, struct live *live)
{
	struct virtiofsd_cfg cfg = { .dir = "/", .readonly = true, .owners = true,
				     .covered = (const char *const *)hidden };
	char why[600];
	int r;

	while (hidden[cfg.ncovered])
		cfg.ncovered++;
	r = live_open(live, what, HOST_ROOT_TAG, &cfg, why, sizeof(why));
	if (r < 0)
		log_err("%s: %s", what, why);
	return r;
}

/* Where would the user's secrets be? */
static bool has_home(void)
{
	const char *home = getenv("HOME");
	char own[PATH_MAX];

	return (home && *home == '/') || find_user("/etc/passwd", own, sizeof(own));
}

int host_root_open(const char *what, const char *text, struct live *live, struct oci *oci)
{
	bool secrets = wants_secrets(text) > 0;
	char **hidden;
	int r;

	if (!secrets && !has_home()) {
		log_err("%s: nobody says where your home is, and so where your keys are: set "
			"HOME, or say host,secrets=on", what);
		return -ENOENT;
	}
	hidden = host_root_hidden(secrets);
	r = hidden ? serve(what, hidden, live) : -ENOMEM;
	host_root_free(hidden);
	if (r < 0)
		return r;
	r = put_surroundings(oci);
	if (r < 0)
		log_err("%s: %s", what, strerror(-r));
	return r;
}
