/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/net_passt.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/opt.h"
#include "vmm/core/util.h"

Suite *net_passt_suite(void);

static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
static char dir[] = "/tmp/passt-XXXXXX", said[1024];
static struct passt passt;
static bool loopback;

/* A program of that name, before all others. Its words are in the file "words". */
static void install(const char *script)
{
	char path[64], words[300];
	FILE *f;

	snprintf(path, sizeof(path), "%s/passt", dir);
	f = fopen(path, "w");
	fprintf(f, "#!/bin/sh\necho \"$*\" >%s/words\n%s\n", dir, script);
	fclose(f);
	ck_assert_int_eq(chmod(path, 0755), 0);
	snprintf(words, sizeof(words), "%s:/usr/bin:/bin", dir);
	setenv("PATH", words, 1);
}

static void set_up(void)
{
	strcpy(dir + sizeof(dir) - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	passt = PASST_NONE;
	loopback = false;
	log_hear(said, sizeof(said));
}

static void tear_down(void)
{
	char command[64];

	log_hear(NULL, 0);
	passt_fini(&passt);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static int start(const char **publish, unsigned n)
{
	struct opt_list list = { publish, n };

	return passt_start(&passt, "n0", mac, &(struct passt_cfg){ &list, loopback });
}

static void words(char *text, size_t size)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/words", dir);
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(fgets(text, size, f));
	fclose(f);
}

/* What asks for the gateway gets its own question back, and that will do. */
#define ECHO "exec cat <&3 >&3"

START_TEST(serves_until_it_is_not_wanted)
{
	uint8_t frame[100];
	char text[512];
	int fd;

	install(ECHO);
	fd = start(NULL, 0);
	ck_assert_int_ge(fd, 0);
	words(text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "--foreground"));
	ck_assert_ptr_nonnull(strstr(text, "--fd 3 "));
	ck_assert_ptr_nonnull(strstr(text, "--address 10.0.2.15 --netmask 24"));
	ck_assert_ptr_null(strstr(text, "ports"));
	ck_assert_ptr_nonnull(strstr(text, " --no-map-gw"));
	/* The answer is left to the guest. */
	ck_assert_int_eq(read(fd, frame, sizeof(frame)), 4 + 42);
	ck_assert_mem_eq(frame + 10, mac, 6);
	ck_assert_uint_eq(frame[16] << 8 | frame[17], 0x0806);
	ck_assert_mem_eq(frame + 42, ((uint8_t[]){ 10, 0, 2, 2 }), 4);
	close(fd);
	passt_fini(&passt);
	ck_assert_int_eq(kill(passt.pid, 0), -1); /* has been waited for */
	ck_assert_int_eq(errno, ESRCH);
	passt = PASST_NONE;
}
END_TEST

START_TEST(host_loopback)
{
	char text[512];
	int fd;

	install(ECHO);
	loopback = true;
	fd = start(NULL, 0);
	ck_assert_int_ge(fd, 0);
	words(text, sizeof(text));
	ck_assert_ptr_null(strstr(text, "map-gw"));
	close(fd);
}
END_TEST

/* Where a frame goes, by a program that puts it together as it likes. */
static const struct {
	const char *to;
	bool refused;
} targets[] = {
	{ "127.0.0.1", true }, { "127.255.255.255", true }, { "0.0.0.0", true },
	{ "0.1.2.3", true }, { "::1", true }, { "::", true }, { "::ffff:127.0.0.1", true },
	{ "::127.0.0.1", true },
	{ "10.0.2.2", false }, { "128.0.0.1", false }, { "1.0.0.127", false },
	{ "255.255.255.255", false }, { "fe80::1", false }, { "2001:db8::1", false },
	{ "ff02::1", false }, { "64:ff9b::127.0.0.1", false },
};

START_TEST(loopback_is_kept_out)
{
	uint8_t frame[54] = { 0 };
	bool six = strchr(targets[_i].to, ':');

	frame[12] = six ? 0x86 : 0x08;
	frame[13] = six ? 0xdd : 0x00;
	ck_assert_int_eq(inet_pton(six ? AF_INET6 : AF_INET, targets[_i].to,
				   frame + (six ? 38 : 30)), 1);
	ck_assert_int_eq(passt_is_loopback(frame, six ? 54 : 34), targets[_i].refused);
	ck_assert(!passt_is_loopback(frame, six ? 53 : 33)); /* no packet */
	ck_assert(!passt_is_loopback(frame, 13));
	frame[13] = 0x06; /* ARP, for one */
	ck_assert(!passt_is_loopback(frame, 54));
}
END_TEST

/* It has its socket, and no other file of ours. */
START_TEST(gets_no_other_file)
{
	int keep = dup(0), fd;

	install("for fd in /proc/self/fd/*; do case ${fd##*/} in [0-3]|10|255) ;; "
		"*) [ ! -e $fd ] || exit 1;; esac; done\n" ECHO);
	ck_assert_int_gt(keep, 3);
	fd = start(NULL, 0);
	ck_assert_int_ge(fd, 0);
	close(fd);
	close(keep);
}
END_TEST

START_TEST(is_not_there)
{
	setenv("PATH", dir, 1);
	ck_assert_int_eq(start(NULL, 0), -ENOENT);
	ck_assert_ptr_nonnull(strstr(said, "apt-get install passt"));
	setenv("PATH", "/usr/bin:/bin", 1);
}
END_TEST

START_TEST(fails)
{
	install("echo first >&2; echo 'No route to anywhere' >&2; exit 1");
	ck_assert_int_eq(start(NULL, 0), -EPIPE);
	ck_assert_str_eq(said, "n0: passt has ended: No route to anywhere");
}
END_TEST

START_TEST(fails_without_a_word)
{
	install("exit 1");
	ck_assert_int_eq(start(NULL, 0), -EPIPE);
	ck_assert_str_eq(said, "n0: passt has ended: it does not say why");
}
END_TEST

START_TEST(does_not_end)
{
	int fd;

	install("dd bs=46 count=1 <&3 >&3 2>/dev/null; kill -STOP $$");
	fd = start(NULL, 0);
	ck_assert_int_ge(fd, 0);
	close(fd);
	passt_fini(&passt);
	ck_assert_int_eq(kill(passt.pid, 0), -1);
	ck_assert_int_eq(errno, ESRCH);
	passt = PASST_NONE;
}
END_TEST

START_TEST(ends_later)
{
	struct pollfd end;

	install("dd bs=46 count=1 <&3 >&3 2>/dev/null; dd bs=1 count=1 <&3 >/dev/null 2>&1; "
		"echo 'Enough' >&2");
	end = (struct pollfd){ .fd = start(NULL, 0), .events = POLLRDHUP };
	ck_assert_int_ge(end.fd, 0);
	ck_assert_int_eq(write(end.fd, "x", 1), 1); /* what it says earlier is not kept */
	ck_assert_int_eq(poll(&end, 1, 5000), 1);
	passt_report(&passt, "n0");
	ck_assert_str_eq(said,
			 "n0: passt has ended, and the guest has no network any more: Enough");
	close(end.fd);
}
END_TEST

START_TEST(what_it_says_before_it_serves_is_no_reason)
{
	int fd;

	install("echo 'I am nobody now' >&2; " ECHO);
	fd = start(NULL, 0);
	ck_assert_int_ge(fd, 0);
	passt_report(&passt, "n0");
	ck_assert_str_eq(said, "n0: passt has ended, and the guest has no network any more");
	close(fd);
}
END_TEST

START_TEST(never_stops_talking)
{
	int fd;

	install("head -c 1000000 /dev/zero | tr '\\0' x >&2; echo >&2; " ECHO);
	fd = start(NULL, 0);
	ck_assert_int_ge(fd, 0); /* though nobody has listened */
	passt_report(&passt, "n0");
	close(fd);
}
END_TEST

static const struct {
	const char *publish, *wanted;
} ports[] = {
	{ "8080:80", "--tcp-ports 127.0.0.1/8080:80" },
	{ "tcp:1:65535", "--tcp-ports 127.0.0.1/1:65535" },
	{ "udp:5353:53", "--udp-ports 127.0.0.1/5353:53" },
	{ "0.0.0.0:8080:80", "--tcp-ports 0.0.0.0/8080:80" },
	{ "udp:192.0.2.1:8080:80", "--udp-ports 192.0.2.1/8080:80" },
	{ "[::1]:8080:80", "--tcp-ports ::1/8080:80" },
	{ "tcp:[::]:8080:80", "--tcp-ports ::/8080:80" },
};

START_TEST(publishes_ports)
{
	const char *both[] = { "1:2", ports[_i].publish };
	char text[512];
	int fd;

	install(ECHO);
	fd = start(both, 2);
	ck_assert_int_ge(fd, 0);
	words(text, sizeof(text));
	text[strcspn(text, "\n")] = 0;
	ck_assert_ptr_nonnull(strstr(text, "--tcp-ports 127.0.0.1/1:2"));
	ck_assert_str_eq(text + strlen(text) - strlen(ports[_i].wanted), ports[_i].wanted);
	close(fd);
}
END_TEST

static const char *const bad_ports[] = {
	"", ":", "80", "80:", ":80", "0:80", "80:0", "65536:80", "80:65536", "80:-1", "80:+1",
	"80: 1", "80:80:", "sctp:80:80", "host:80:80", "1.2.3:80:80", "1.2.3.4/:80:80", "[]:80:80",
	"[1::2:80:80", "1::2]:80:80", "tcp:udp:80:80", "80,81:80", "80:80 --fd", "~80:80",
	"1111:2222:3333:4444:5555:6666:7777:8888:9999:1111:80:80",
};

START_TEST(ports_that_make_no_sense)
{
	const char *publish[] = { bad_ports[_i] };

	install(ECHO);
	ck_assert_int_eq(start(publish, 1), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(said, "HOST-PORT:GUEST-PORT"));
	ck_assert_int_eq(passt.pid, 0);
}
END_TEST

START_TEST(too_many_ports)
{
	const char *publish[65];
	unsigned i;

	for (i = 0; i < 65; i++)
		publish[i] = "8080:80";
	install(ECHO);
	ck_assert_int_eq(start(publish, 65), -EUSAGE);
}
END_TEST

Suite *net_passt_suite(void)
{
	Suite *s = suite_create("net_passt");
	TCase *tc = unit_case(s, "passt");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, serves_until_it_is_not_wanted);
	tcase_add_test(tc, host_loopback);
	tcase_add_loop_test(tc, loopback_is_kept_out, 0, ARRAY_SIZE(targets));
	tcase_add_test(tc, gets_no_other_file);
	tcase_add_test(tc, is_not_there);
	tcase_add_test(tc, fails);
	tcase_add_test(tc, fails_without_a_word);
	tcase_add_test(tc, does_not_end);
	tcase_add_test(tc, ends_later);
	tcase_add_test(tc, what_it_says_before_it_serves_is_no_reason);
	tcase_add_test(tc, never_stops_talking);
	tcase_add_loop_test(tc, publishes_ports, 0, ARRAY_SIZE(ports));
	tcase_add_loop_test(tc, ports_that_make_no_sense, 0, ARRAY_SIZE(bad_ports));
	tcase_add_test(tc, too_many_ports);
	return s;
}

UNIT_MAIN(net_passt_suite)
