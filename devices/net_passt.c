/* SPDX-License-Identifier: MIT */
#include "devices/net_passt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices/net_link.h"
#include "vmm/core/compat.h"
#include "vmm/core/fail.h"
#include "vmm/core/libc.h"
#include "vmm/core/log.h"
#include "vmm/core/opt.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"

#define PASST_FD 3 /* its end of the socket pair, as its own descriptor */
#define START_MS 10000
#define END_MS 2000
#define MESSAGE_MAX 1024

#define SPEC_MAX 96
#define PUBLISH_MAX 64

/* What is always there; --no-map-gw, and two words for each published port follow. */
static const char *const base_args[] = {
	"passt", "--foreground", "--quiet", "--stderr", "--fd", "3",
	"--address", USERNET_ADDRESS, "--netmask", USERNET_PREFIX, "--gateway", USERNET_GATEWAY,
	"--dns-forward", USERNET_DNS,
};

/* "8080" and no more: 1 to 65535. */
static bool is_port(const char *text, size_t len)
{
	return len && len <= 5 && strspn(text, "0123456789") >= len && atoi(text) >= 1 &&
	       atoi(text) <= 65535;
}

static bool is_address(const char *text, size_t len)
{
	char copy[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	if (len >= sizeof(copy))
		return false;
	memcpy(copy, text, len);
	copy[len] = 0;
	return inet_pton(AF_INET, copy, &addr) == 1 || inet_pton(AF_INET6, copy, &addr) == 1;
}

/* Where the last ':' before @end is; NULL: nowhere. */
static const char *colon_before(const char *text, const char *end)
{
	return memrchr(text, ':', end - text);
}

/*
 * "[tcp:|udp:][ADDR:]HOST:GUEST" in passt's words, an option and its value. -EUSAGE: it is not of
 * that form. The address is always named: otherwise passt takes all there are, of IPv4 and IPv6,
 * and is content when one of them is free.
 */
static int publish_words(const char *text, const char **option, char spec[SPEC_MAX])
{
	const char *end = text + strlen(text), *guest, *host, *addr_end;
	bool udp = !strncmp(text, "udp:", 4);

	*option = udp ? "--udp-ports" : "--tcp-ports";
	if (udp || !strncmp(text, "tcp:", 4))
		text += 4;
	guest = colon_before(text, end);
	if (!guest || !is_port(guest + 1, end - guest - 1))
		return -EUSAGE;
	addr_end = colon_before(text, guest);
	host = addr_end ? addr_end + 1 : text;
	if (!is_port(host, guest - host))
		return -EUSAGE;
	if (!addr_end) {
		snprintf(spec, SPEC_MAX, "127.0.0.1/%s", text);
		return 0;
	}
	if (*text == '[' && addr_end[-1] == ']') {
		text++;
		addr_end--;
	}
	if (!is_address(text, addr_end - text))
		return -EUSAGE;
	snprintf(spec, SPEC_MAX, "%.*s/%s", (int)(addr_end - text), text, host);
	return 0;
}

/* The end of @argv gets the ports. -EUSAGE after one line. */
static int publish_args(const char *id, const struct opt_list *publish, const char **argv,
			char spec[][SPEC_MAX])
{
	unsigned i;

	if (publish->count > PUBLISH_MAX) {
		log_err("%s: %u ports to publish are too many, %d at most", id, publish->count,
			PUBLISH_MAX);
		return -EUSAGE;
	}
	for (i = 0; i < publish->count; i++) {
		if (publish_words(publish->item[i], &argv[2 * i], spec[i]) < 0) {
			log_err("%s: publish=%s: [tcp:|udp:][ADDRESS:]HOST-PORT:GUEST-PORT is "
				"wanted, 8080:80 for instance", id, publish->item[i]);
			return -EUSAGE;
		}
		argv[2 * i + 1] = spec[i];
	}
	return 0;
}

/* Of its own session, so that a terminal's ^C is not meant for it, and with no file of ours. */
static int spawn(pid_t *pid, const char *const *argv, int fd, int messages)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, defaults;
	int r;

	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
				 POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDWR, 0);
	posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_RDWR, 0);
	posix_spawn_file_actions_adddup2(&files, messages, 2);
	posix_spawn_file_actions_adddup2(&files, fd, PASST_FD);
	posix_spawn_file_actions_addclosefrom_np(&files, PASST_FD + 1);
	r = posix_spawnp(pid, argv[0], &files, &attr, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	return -r;
}

/* The last line that it has written, without its end; empty: none. */
static void last_message(const struct passt *passt, char text[MESSAGE_MAX])
{
	ssize_t n;
	char *line;

	*text = 0;
	while ((n = read(passt->messages, text, MESSAGE_MAX - 1)) > 0) {
		while (n && text[n - 1] == '\n')
			n--;
		text[n] = 0;
	}
	line = strrchr(text, '\n');
	if (line)
		memmove(text, line + 1, strlen(line));
}

/*
 * Asks for the gateway's MAC address, and waits for any frame: passt looks at its socket when all
 * is set up. -EPIPE: it has ended before; -ETIMEDOUT.
 */
static int await_service(int fd, const uint8_t mac[6])
{
	uint8_t frame[4 + 42] = {
		0, 0, 0, 42, 255, 255, 255, 255, 255, 255, [16] = 0x08, 0x06, /* ARP, */
		0, 1, 0x08, 0, 6, 4, 0, 1, /* a request for IPv4 over Ethernet */
	};
	struct pollfd readable = { .fd = fd, .events = POLLIN };
	char any;
	int r;

	memcpy(frame + 4 + 6, mac, 6);
	memcpy(frame + 4 + 22, mac, 6);
	inet_pton(AF_INET, USERNET_ADDRESS, frame + 4 + 28);
	inet_pton(AF_INET, USERNET_GATEWAY, frame + 4 + 38);
	if (send(fd, frame, sizeof(frame), MSG_NOSIGNAL) < 0)
		return -EPIPE;
	do
		r = poll(&readable, 1, START_MS);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return -ETIMEDOUT;
	/* The answer stays there: what a guest has not asked for, it ignores. */
	return recv(fd, &any, 1, MSG_PEEK) == 1 ? 0 : -EPIPE;
}

static void report_start(const struct passt *passt, const char *id, int err)
{
	char text[MESSAGE_MAX];

	last_message(passt, text);
	if (err == ENOENT)
		log_err("%s: there is no passt, which the guest's network is made by; as root: "
			"apt-get install passt", id);
	else if (err == ETIMEDOUT)
		log_err("%s: passt does not answer; has this machine an IPv4 network?", id);
	else if (err == EPIPE)
		log_err("%s: passt has ended: %s", id, *text ? text : "it does not say why");
	else
		log_err("%s: passt: %s", id, strerror(err));
}

static int start(struct passt *passt, const char *const *argv, const uint8_t mac[6])
{
	int pair[2], pipe_[2], r;

	if (pipe2(pipe_, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	passt->messages = pipe_[0];
	r = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0;
	if (r == 0) {
		r = spawn(&passt->pid, argv, pair[1], pipe_[1]);
		close(pair[1]);
		if (r == 0)
			r = await_service(pair[0], mac);
		if (r < 0)
			close(pair[0]);
	}
	close(pipe_[1]);
	return r < 0 ? r : pair[0];
}

bool passt_is_loopback(const uint8_t *head, size_t len)
{
	static const uint8_t zeroes[10];
	unsigned type = len >= NET_ETH_LEN ? be16_get(head + 12) : 0;

	if (type == ETH_P_IP && len >= NET_ETH_LEN + 20)
		return head[NET_ETH_LEN + 16] == 127 || head[NET_ETH_LEN + 16] == 0;
	return type == ETH_P_IPV6 && len >= NET_ETH_LEN + 40 &&
	       !memcmp(head + NET_ETH_LEN + 24, zeroes, sizeof(zeroes));
}

/* Without the gateway's mapping passt of 2023 sends answers to the gateway's address itself. */
static void note_udp(const char *id, const struct opt_list *publish)
{
	unsigned i;

	for (i = 0; i < publish->count; i++) {
		if (!strncmp(publish->item[i], "udp:", 4))
			log_note("%s: publish=%s: Debian 12's passt answers programs of this host "
				 "with host-loopback=on alone", id, publish->item[i]);
	}
}

int passt_start(struct passt *passt, const char *id, const uint8_t mac[6],
		const struct passt_cfg *cfg)
{
	const char *argv[ARRAY_SIZE(base_args) + 1 + 2 * PUBLISH_MAX + 1] = { 0 };
	char spec[PUBLISH_MAX][SPEC_MAX], said[MESSAGE_MAX];
	unsigned n = ARRAY_SIZE(base_args);
	int r;

	memcpy(argv, base_args, sizeof(base_args));
	if (!cfg->host_loopback)
		argv[n++] = "--no-map-gw";
	r = publish_args(id, cfg->publish, argv + n, spec);
	if (r < 0)
		return r;
	if (!cfg->host_loopback)
		note_udp(id, cfg->publish);
	r = start(passt, argv, mac);
	if (r < 0)
		report_start(passt, id, -r);
	else
		last_message(passt, said); /* that it has become another user, for instance */
	return r;
}

void passt_report(struct passt *passt, const char *id)
{
	char text[MESSAGE_MAX];

	last_message(passt, text);
	log_err("%s: passt has ended, and the guest has no network any more%s%s", id,
		*text ? ": " : "", text);
}

void passt_fini(struct passt *passt)
{
	struct pollfd ended = { .events = POLLIN };

	if (passt->pid > 0) {
		ended.fd = pidfd_open(passt->pid, 0);
		if (ended.fd >= 0) {
			/* One that has been stopped, say, would be left behind. */
			if (poll(&ended, 1, END_MS) == 0 &&
			    pidfd_send_signal(ended.fd, SIGKILL, NULL, 0) == 0)
				poll(&ended, 1, END_MS);
			close(ended.fd);
		}
		waitpid(passt->pid, NULL, WNOHANG);
	}
	if (passt->messages >= 0)
		close(passt->messages);
}
