/* SPDX-License-Identifier: MIT */
/*
 * resolver ADDRESS - answers every DNS query of type A there with 192.0.2.53, for tests/vm/net.sh.
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define HEADER_LEN 12
#define TYPE_A 1

/* The one record: the name of the question, A, IN, an hour, the address. */
static const uint8_t record[] = {
	0xc0, HEADER_LEN, 0, TYPE_A, 0, 1, 0, 0, 14, 16, 0, 4, 192, 0, 2, 53,
};

/* Where the question ends; 0: there is none. */
static size_t question_end(const uint8_t *msg, size_t len)
{
	size_t at = HEADER_LEN;

	while (at < len && msg[at])
		at += msg[at] + 1;
	return at + 5 <= len ? at + 5 : 0;
}

/* Makes the query an answer. Returns its length, 0: it is not a query. */
static size_t answer(uint8_t *msg, size_t len)
{
	size_t end = len < HEADER_LEN ? 0 : question_end(msg, len);
	int known = end && msg[end - 4] == 0 && msg[end - 3] == TYPE_A;

	if (!end)
		return 0;
	msg[2] = 0x85; /* an answer, with authority */
	msg[3] = 0x80;
	memset(msg + 6, 0, 6);
	msg[7] = known;
	if (!known)
		return end;
	memcpy(msg + end, record, sizeof(record));
	return end + sizeof(record);
}

int main(int argc, char **argv)
{
	struct sockaddr_in self = { .sin_family = AF_INET, .sin_port = htons(53) }, from;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	uint8_t msg[512 + sizeof(record)];

	if (argc < 2 || inet_pton(AF_INET, argv[1], &self.sin_addr) != 1 ||
	    bind(fd, (struct sockaddr *)&self, sizeof(self)) < 0) {
		perror("resolver");
		return 1;
	}
	for (;;) {
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, msg, 512, 0, (struct sockaddr *)&from, &len);

		if (n > 0)
			n = answer(msg, n);
		if (n > 0)
			sendto(fd, msg, n, 0, (struct sockaddr *)&from, len);
	}
}
