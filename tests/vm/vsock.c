/* SPDX-License-Identifier: MIT */
/*
 * vsock.c - both ends of connections between host and guest, for tests/vm/vsock.sh.
 *
 *	usage: vsock echo ADDRESS COUNT            sends back what it gets, until COUNT have ended
 *	       vsock send ADDRESS BYTES [COUNT]    what is sent has to come back, COUNT at a time
 *	       vsock refused ADDRESS               nobody is there
 *	       vsock cid                           this machine's, or guest's, own number
 *
 * ADDRESS is vsock:CID:PORT, unix:PATH, or call:PATH:PORT, a Unix socket where the port is asked
 * for by "CONNECT PORT".
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void fail(const char *what)
{
	printf("vsock: %s: %s\n", what, strerror(errno));
	exit(1);
}

union address {
	struct sockaddr any;
	struct sockaddr_vm vm;
	struct sockaddr_un un;
};

/* Reads @text; returns its length, and the port that has to be asked for, or 0. */
static socklen_t parse(const char *text, union address *a, unsigned *asked)
{
	const char *rest = strchr(text, ':') + 1, *last = strrchr(text, ':') + 1;

	memset(a, 0, sizeof(*a));
	*asked = 0;
	if (!strncmp(text, "vsock:", 6)) {
		a->vm.svm_family = AF_VSOCK;
		a->vm.svm_cid = strtoul(rest, NULL, 10);
		a->vm.svm_port = strtoul(last, NULL, 10);
		return sizeof(a->vm);
	}
	a->un.sun_family = AF_UNIX;
	snprintf(a->un.sun_path, sizeof(a->un.sun_path), "%s", rest);
	if (!strncmp(text, "call:", 5)) {
		*asked = strtoul(last, NULL, 10);
		*strrchr(a->un.sun_path, ':') = 0;
	}
	return sizeof(a->un);
}

/* Asks for the port, and reads the line by which it is there. */
static bool ask(int fd, unsigned port)
{
	char line[64];
	size_t n = 0;

	dprintf(fd, "CONNECT %u\n", port);
	while (n < sizeof(line) - 1 && read(fd, line + n, 1) == 1 && line[n] != '\n')
		n++;
	line[n] = 0;
	return !strncmp(line, "OK ", 3);
}

static int try_connect(const char *text)
{
	struct timeval patience = { 60, 0 }; /* the kernel's own is two seconds */
	union address a;
	unsigned asked;
	socklen_t len = parse(text, &a, &asked);
	int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fail("socket");
	if (a.any.sa_family == AF_VSOCK)
		setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &patience,
			   sizeof(patience));
	if (connect(fd, &a.any, len) == 0 && (!asked || ask(fd, asked)))
		return fd;
	close(fd);
	return -1;
}

static uint64_t next(uint64_t x)
{
	return x * 6364136223846793005ull + 1442695040888963407ull;
}

static void put_all(int fd, const char *data, size_t len)
{
	ssize_t n;

	for (; len; data += n, len -= (size_t)n) {
		n = write(fd, data, len);
		if (n <= 0)
			fail("write");
	}
}

static _Noreturn void send_bytes(int fd, uint64_t seed, uint64_t bytes)
{
	uint64_t block[8192];
	size_t i, n;

	for (; bytes; bytes -= n) {
		for (i = 0; i < 8192; i++)
			block[i] = seed = next(seed);
		n = bytes < sizeof(block) ? bytes : sizeof(block);
		put_all(fd, (char *)block, n);
	}
	shutdown(fd, SHUT_WR);
	_exit(0);
}

/* What comes back has to be the same, and then the end. */
static void check_bytes(int fd, uint64_t seed, uint64_t bytes)
{
	uint64_t got = 0, word = 0;
	uint8_t block[65536];
	ssize_t n, i;

	while ((n = read(fd, block, sizeof(block))) > 0) {
		for (i = 0; i < n; i++, got++) {
			if (got % 8 == 0)
				word = seed = next(seed);
			if (block[i] != (uint8_t)(word >> 8 * (got % 8))) {
				errno = EILSEQ;
				fail("what came back");
			}
		}
	}
	if (n < 0)
		fail("read");
	if (got != bytes) {
		errno = EPIPE;
		fail("an early end");
	}
}

static int wait_all(void)
{
	int status, bad = 0;

	while (wait(&status) > 0)
		bad += status != 0;
	return bad;
}

static int send_one(const char *address, uint64_t seed, uint64_t bytes)
{
	int fd = try_connect(address);

	if (fd < 0)
		fail("connect");
	if (fork() == 0)
		send_bytes(fd, seed, bytes);
	check_bytes(fd, seed, bytes);
	return wait_all();
}

static int send_all(const char *address, uint64_t bytes, unsigned count)
{
	unsigned i;
	int bad;

	for (i = 0; i < count; i++) {
		if (fork() == 0)
			exit(send_one(address, i + 1, bytes));
	}
	bad = wait_all();
	if (!bad)
		printf("%u came back\n", count);
	return bad;
}

static _Noreturn void echo_one(int fd)
{
	char block[65536];
	ssize_t n;

	while ((n = read(fd, block, sizeof(block))) > 0)
		put_all(fd, block, (size_t)n);
	exit(n < 0);
}

static int echo(const char *address, unsigned count)
{
	union address a;
	unsigned asked, i;
	socklen_t len = parse(address, &a, &asked);
	int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one;

	if (fd < 0 || bind(fd, &a.any, len) < 0 || listen(fd, 1024) < 0)
		fail(address);
	puts("listening");
	fflush(stdout);
	for (i = 0; i < count; i++) {
		one = accept(fd, NULL, NULL);
		if (one < 0)
			fail("accept");
		if (fork() == 0)
			echo_one(one);
		close(one);
	}
	return wait_all();
}

static int print_cid(void)
{
	unsigned cid;
	int fd = open("/dev/vsock", O_RDONLY);

	if (fd < 0 || ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid) < 0)
		fail("/dev/vsock");
	printf("%u\n", cid);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "cid"))
		return print_cid();
	if (argc == 4 && !strcmp(argv[1], "echo"))
		return echo(argv[2], strtoul(argv[3], NULL, 10));
	if (argc == 3 && !strcmp(argv[1], "refused"))
		return try_connect(argv[2]) >= 0;
	if (argc >= 4 && !strcmp(argv[1], "send"))
		return send_all(argv[2], strtoull(argv[3], NULL, 10),
				argc > 4 ? strtoul(argv[4], NULL, 10) : 1);
	return 2;
}
