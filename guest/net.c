/* SPDX-License-Identifier: MIT */
#include "guest/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#define RESOLVER "/etc/resolv.conf"

struct addresses {
	struct sockaddr_in own, mask, gateway;
	char dns[INET_ADDRSTRLEN];
};

/*
 * Copies the text before @end, which may be the end of all, and returns what follows. NULL: @end
 * does not come, or too late.
 */
static const char *part(const char *text, char end, char to[INET_ADDRSTRLEN])
{
	const char *found = strchr(text, end);
	size_t len = found ? (size_t)(found - text) : INET_ADDRSTRLEN;

	if (len >= INET_ADDRSTRLEN)
		return NULL;
	memcpy(to, text, len);
	to[len] = 0;
	return found + !!end;
}

static const char *address(const char *text, char end, struct sockaddr_in *to)
{
	char copy[INET_ADDRSTRLEN];
	const char *next = part(text, end, copy);

	to->sin_family = AF_INET;
	return next && inet_pton(AF_INET, copy, &to->sin_addr) == 1 ? next : NULL;
}

/* Of so many ones; 0: there is no such. */
static in_addr_t netmask(const char *prefix)
{
	char *end;
	unsigned long n = strtoul(prefix, &end, 10);

	return *prefix && !*end && n && n <= 32 ? htonl(~0u << (32 - n)) : 0;
}

static int parse(const char *word, struct addresses *a)
{
	char prefix[INET_ADDRSTRLEN];
	struct sockaddr_in dns;

	memset(a, 0, sizeof(*a));
	a->mask.sin_family = AF_INET;
	word = address(word, '/', &a->own);
	word = word ? part(word, ',', prefix) : NULL;
	if (!word)
		return -EINVAL;
	a->mask.sin_addr.s_addr = netmask(prefix);
	word = address(word, ',', &a->gateway);
	if (!a->mask.sin_addr.s_addr || !word || !address(word, 0, &dns))
		return -EINVAL;
	part(word, 0, a->dns);
	return 0;
}

static int set_up(int fd, const char *name)
{
	struct ifreq ifr = { 0 };

	strcpy(ifr.ifr_name, name);
	if (ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		return -errno;
	ifr.ifr_flags |= IFF_UP;
	return ioctl(fd, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
}

static int set_address(int fd, const char *name, unsigned long what, const struct sockaddr_in *to)
{
	struct ifreq ifr = { 0 };

	strcpy(ifr.ifr_name, name);
	memcpy(&ifr.ifr_addr, to, sizeof(*to));
	return ioctl(fd, what, &ifr) < 0 ? -errno : 0;
}

static int set_gateway(int fd, const struct sockaddr_in *gateway)
{
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY };

	memcpy(&route.rt_gateway, gateway, sizeof(*gateway));
	route.rt_dst.sa_family = route.rt_genmask.sa_family = AF_INET;
	return ioctl(fd, SIOCADDRT, &route) < 0 ? -errno : 0;
}

static int set_resolver(const char *dns)
{
	int fd = open(RESOLVER, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), r = 0;

	if (fd < 0)
		return -errno;
	if (dprintf(fd, "nameserver %s\n", dns) < 0)
		r = -errno;
	close(fd);
	return r;
}

static int configure(int fd, const struct addresses *a)
{
	int r = set_address(fd, "eth0", SIOCSIFADDR, &a->own);

	if (r == 0)
		r = set_address(fd, "eth0", SIOCSIFNETMASK, &a->mask);
	if (r == 0)
		r = set_up(fd, "eth0");
	if (r == 0)
		r = set_gateway(fd, &a->gateway);
	return r ? r : set_resolver(a->dns);
}

int net_up(const char *word)
{
	struct addresses a;
	int fd, r = word ? parse(word, &a) : 0;

	if (r < 0)
		return r;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = set_up(fd, "lo");
	if (r == 0 && word)
		r = configure(fd, &a);
	close(fd);
	return r;
}

void net_keep_resolver(const char *root, bool in_memory)
{
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s" RESOLVER, root);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644); /* somewhere to mount it */
	if (fd < 0 && in_memory) { /* a link into /run, as systemd-resolved has it */
		unlink(path);
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	}
	if (fd >= 0)
		close(fd);
	if (access(RESOLVER, F_OK) == 0)
		mount(RESOLVER, path, NULL, MS_BIND, NULL);
}
