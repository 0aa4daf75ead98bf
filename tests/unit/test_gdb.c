/* SPDX-License-Identifier: MIT */
/*
 * A machine of two vCPUs without threads, and an architecture of one register; a debugger is a
 * socket's other end. What vCPUs come to is told as their threads tell it.
 */
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/gdb.h"
#include "vmm/machine/gdb_packet.h"
#include "vmm/machine/machine.h"

Suite *gdb_suite(void);

static struct machine m;
static struct gdb *gdb;
static struct stderr_text said;
static char dir[] = "/tmp/lunette-gdb-XXXXXX";

static uint64_t reg[2];
static struct arch_debug control[2];
static struct arch_debug_stop stop_why;
static int hold_error, control_error;
static unsigned holds, releases, ends;

const char arch_debug_name[] = "unit";
const struct gdb_reg arch_debug_regs[] = { { "a", "int64", "unit", 64 }, { 0 } };
const uint8_t arch_debug_trap[] = { 0xcc };
const unsigned arch_debug_trap_len = 1;

int arch_debug_get(const struct vcpu *vcpu, uint8_t *regs)
{
	memcpy(regs, &reg[vcpu->id], 8);
	return 0;
}

int arch_debug_set(const struct vcpu *vcpu, const uint8_t *regs)
{
	memcpy(&reg[vcpu->id], regs, 8);
	return 0;
}

/* Pages are upside down. */
int arch_debug_translate(const struct vcpu *vcpu, const struct mem *mem, uint64_t addr,
			 uint64_t *gpa)
{
	(void)vcpu;
	(void)mem;
	*gpa = (15 - addr / 4096) * 4096 + addr % 4096;
	return addr < KIB(64) ? 0 : -EFAULT;
}

int arch_debug_check(const struct vcpu *vcpu, const struct gdb_point *point, unsigned count)
{
	(void)vcpu;
	(void)point;
	return count > 4 ? -ENOSPC : 0;
}

int arch_debug_control(const struct vcpu *vcpu, const struct arch_debug *how)
{
	control[vcpu->id] = *how;
	return control_error;
}

void arch_debug_why(const struct vcpu *vcpu, const struct arch_debug *how,
		    struct arch_debug_stop *why)
{
	(void)vcpu;
	(void)how;
	*why = stop_why;
}

int machine_hold(struct machine *of)
{
	ck_assert_ptr_eq(of, &m);
	holds++;
	of->held = !hold_error;
	return hold_error;
}

void machine_release(struct machine *of)
{
	of->held = false;
	releases++;
}

void machine_end(struct machine *of, enum cause cause)
{
	(void)of;
	ck_assert_int_eq(cause, CAUSE_QUIT);
	ends++;
}

void vcpu_resume(struct vcpu *vcpu)
{
	atomic_store(&vcpu->pausing, false);
}

static void set_up(void)
{
	unsigned i;

	memset(&m, 0, sizeof(m));
	m.main_loop = loop_create("main");
	ck_assert_int_eq(mem_add(&m.mem, 0, KIB(64)), 0);
	m.ncpus = 2;
	for (i = 0; i < 2; i++) {
		m.vcpu[i].id = i;
		m.vcpu[i].debug_fd = -1;
		reg[i] = 0x10 + i;
	}
	hold_error = control_error = 0;
	holds = releases = ends = 0;
	stop_why = (struct arch_debug_stop){ .kind = GDB_SOFT };
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	stderr_begin(&said);
}

static void tear_down(void)
{
	stderr_end(&said);
	gdb_destroy(gdb);
	ck_assert_int_eq(rmdir(dir), 0); /* the socket is gone */
	mem_free(&m.mem);
	loop_destroy(m.main_loop);
}

static int connect_to(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(addr.sun_path, path);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	loop_round(m.main_loop);
	return fd;
}

static int begin(void)
{
	ck_assert_int_eq(gdb_create(&gdb, &m, "./gdb"), 0);
	return connect_to("gdb");
}

/* What is there of answers after @text has been sent as a packet. */
static const char *ask(int fd, const char *text)
{
	static char answer[GDB_WIRE_MAX];
	char wire[GDB_WIRE_MAX];
	ssize_t n = (ssize_t)gdb_packet_put(wire, text, strlen(text));

	ck_assert_int_eq(send(fd, wire, (size_t)n, 0), n);
	loop_round(m.main_loop);
	n = recv(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT);
	answer[n > 0 ? n : 0] = 0;
	return n == 0 ? "(end)" : answer;
}

static const char *hear(int fd)
{
	static char answer[GDB_WIRE_MAX];
	ssize_t n;

	loop_round(m.main_loop);
	n = recv(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT);
	answer[n > 0 ? n : 0] = 0;
	return n == 0 ? "(end)" : answer;
}

static const struct {
	const char *text;
	bool ok;
} texts[] = {
	{ "1234", true }, { "65535,wait=on", true }, { "path", true }, { "./1234", true },
	{ "0", false }, { "65536", false }, { "99999999999999999999", false }, { "", false },
	{ "1234,wait=x", false }, { "1234,x", false }, { "wait=on", false },
};

START_TEST(what_makes_sense)
{
	ck_assert_int_eq(gdb_check(texts[_i].text), texts[_i].ok ? 0 : -EUSAGE);
	ck_assert_int_eq(!*stderr_end(&said), texts[_i].ok);
	stderr_begin(&said);
	ck_assert_int_eq(gdb_check(NULL), 0);
	ck_assert_int_eq(gdb_create(&gdb, &m, NULL), 0);
	ck_assert_ptr_null(gdb);
}
END_TEST

/* Its owner's alone; and what is there already stays. */
START_TEST(socket_of_a_path)
{
	struct gdb *other;
	struct stat st;

	ck_assert_int_eq(gdb_create(&gdb, &m, "gdb"), 0);
	ck_assert_int_eq(stat("gdb", &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ck_assert(!m.held);
	ck_assert_int_eq(gdb_create(&other, &m, "gdb"), -EADDRINUSE);
	ck_assert_str_eq(stderr_end(&said), "lunette: error: --gdb gdb: Address already in use\n");
	ck_assert_int_eq(stat("gdb", &st), 0);
}
END_TEST

START_TEST(port_of_this_machine)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);
	char text[16];
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	/* One that was free a moment ago. */
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	close(fd);
	snprintf(text, sizeof(text), "%u", ntohs(addr.sin_port));
	ck_assert_int_eq(gdb_create(&gdb, &m, text), 0);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	loop_round(m.main_loop);
	ck_assert_str_eq(ask(fd, "?"), "+$T05thread:1;#d7");
	close(fd);
}
END_TEST

START_TEST(kvm_cannot)
{
	control_error = -EINVAL;
	ck_assert_int_eq(gdb_create(&gdb, &m, "gdb"), -EINVAL);
	ck_assert_ptr_null(gdb);
	ck_assert_str_eq(stderr_end(&said),
			 "lunette: error: --gdb gdb: this machine's KVM cannot debug guests: "
			 "Invalid argument; Linux 6.10 can on every architecture\n");
}
END_TEST

START_TEST(waits_for_it)
{
	ck_assert_int_eq(gdb_create(&gdb, &m, "gdb,wait=on"), 0);
	ck_assert(m.held);
}
END_TEST

START_TEST(stops_and_goes)
{
	int fd = begin();

	ck_assert(m.held);
	ck_assert_int_ge(m.vcpu[1].debug_fd, 0);
	ck_assert_str_eq(ask(fd, "QStartNoAckMode"), "+$OK#9a");
	ck_assert_str_eq(ask(fd, "g"), "$1000000000000000#01");
	ck_assert_str_eq(ask(fd, "P0=0100000000000000"), "$OK#9a");
	ck_assert_uint_eq(reg[0], 1);
	ck_assert_str_eq(ask(fd, "c"), "");
	ck_assert_uint_eq(releases, 1);
	ck_assert(control[1].on && !control[1].step);
	ck_assert_int_eq(send(fd, "\003", 1, 0), 1);
	ck_assert_str_eq(hear(fd), "$T02thread:1;#d4");
	ck_assert(m.held);
	close(fd);
	loop_round(m.main_loop);
	ck_assert(!m.held && !control[0].on);
}
END_TEST

/* Pages of the program that are not side by side in memory. */
START_TEST(memory)
{
	int fd = begin();

	ask(fd, "QStartNoAckMode");
	memset(m.mem.region[0].hva + 15 * 4096, 'x', 4096);
	ck_assert_str_eq(ask(fd, "mffe,4"), "$78780000#9e");
	ck_assert_str_eq(ask(fd, "Mffe,4:01020304"), "$OK#9a");
	ck_assert_uint_eq(m.mem.region[0].hva[15 * 4096 + 4095], 2);
	ck_assert_uint_eq(m.mem.region[0].hva[14 * 4096], 3);
	ck_assert_str_eq(ask(fd, "mffff,2"), "$E14#aa");
	close(fd);
}
END_TEST

static void comes_to(unsigned cpu)
{
	atomic_store(&m.vcpu[cpu].pausing, true);
	atomic_store(&m.vcpu[cpu].debugged, true);
	eventfd_write(m.vcpu[cpu].debug_fd, 1);
}

START_TEST(breakpoint)
{
	int fd = begin();

	ask(fd, "QStartNoAckMode");
	ask(fd, "Z0,10,1");
	ck_assert_uint_eq(m.mem.region[0].hva[15 * 4096 + 16], 0xcc);
	ask(fd, "vCont;c");
	stop_why = (struct arch_debug_stop){ .trap = true, .pc = 0x10, .kind = GDB_SOFT };
	comes_to(1);
	ck_assert_str_eq(hear(fd), "$T05thread:2;#d8");
	ck_assert(m.held);
	ask(fd, "D");
	ck_assert_uint_eq(m.mem.region[0].hva[15 * 4096 + 16], 0);
	ck_assert_str_eq(hear(fd), "(end)");
	ck_assert(!m.held);
	close(fd);
}
END_TEST

/* It goes while a vCPU that does not come to rest keeps them running; one has met a point. */
START_TEST(leaves_what_does_not_rest)
{
	int fd = begin();

	ask(fd, "QStartNoAckMode");
	ask(fd, "Z0,10,1");
	ask(fd, "vCont;c");
	hold_error = -EBUSY;
	close(fd);
	loop_round(m.main_loop);
	ck_assert_uint_eq(m.mem.region[0].hva[15 * 4096 + 16], 0);
	ck_assert(control[1].on);
	comes_to(1);
	loop_round(m.main_loop);
	ck_assert(!control[1].on);
	ck_assert(!atomic_load(&m.vcpu[1].pausing));
}
END_TEST

/* A browser, say, that some page has sent here. */
START_TEST(somebody_else)
{
	static const char text[] = "POST / HTTP/1.1\r\n\r\n$k#6b";
	int fd = begin();

	ck_assert_int_eq(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
	loop_round(m.main_loop);
	ck_assert_uint_eq(ends, 0);
	ck_assert(!m.held && m.main_loop);
	close(fd);
	fd = connect_to("gdb");
	ck_assert_str_eq(ask(fd, "?"), "+$T05thread:1;#d7");
	close(fd);
}
END_TEST

/* What it asks for and does not take is not kept. */
START_TEST(does_not_read)
{
	int fd = begin(), i;
	ssize_t n = 0;

	ask(fd, "QStartNoAckMode");
	ask(fd, "m0,800");
	for (i = 0; n >= 0 && i < 1000; i++) {
		n = send(fd, "$m0,800#c5", 10, MSG_NOSIGNAL);
		loop_round(m.main_loop);
	}
	ck_assert_int_lt(i, 1000);
	ck_assert(!m.held);
	close(fd);
}
END_TEST

/* A trap that the guest has itself is the guest's. */
START_TEST(trap_of_the_guests)
{
	int fd = begin();

	ask(fd, "QStartNoAckMode");
	ask(fd, "vCont;c");
	stop_why = (struct arch_debug_stop){ .trap = true, .pc = 0x20, .kind = GDB_SOFT };
	comes_to(0);
	ck_assert_str_eq(hear(fd), "");
	ck_assert(control[0].inject && control[0].on);
	ck_assert(!atomic_load(&m.vcpu[0].pausing));
	close(fd);
	loop_round(m.main_loop);
}
END_TEST

START_TEST(step_and_watch)
{
	int fd = begin();

	ask(fd, "QStartNoAckMode");
	ask(fd, "Z2,18,8");
	atomic_store(&m.vcpu[0].pausing, true);
	atomic_store(&m.vcpu[1].pausing, true);
	ask(fd, "vCont;s:2");
	ck_assert(control[1].step && !control[0].step);
	ck_assert_uint_eq(control[1].points, 1);
	ck_assert(atomic_load(&m.vcpu[0].pausing) && !atomic_load(&m.vcpu[1].pausing));
	ck_assert(m.held);
	stop_why = (struct arch_debug_stop){ .kind = GDB_WRITE, .addr = 0x18 };
	comes_to(1);
	ck_assert_str_eq(hear(fd), "$T05watch:18;thread:2;#cd");
	close(fd);
	loop_round(m.main_loop);
}
END_TEST

START_TEST(one_at_a_time)
{
	int fd = begin(), other = connect_to("gdb");

	ck_assert_str_eq(hear(other), "(end)");
	ck_assert_str_eq(ask(fd, "?"), "+$T05thread:1;#d7");
	close(other);
	close(fd);
	loop_round(m.main_loop);
	fd = connect_to("gdb");
	ck_assert_str_eq(ask(fd, "?"), "+$T05thread:1;#d7");
	close(fd);
	hold_error = -EBUSY;
	loop_round(m.main_loop);
	fd = connect_to("gdb");
	ck_assert_str_eq(hear(fd), "(end)");
	hold_error = 0;
	close(fd);
}
END_TEST

START_TEST(killed)
{
	int fd = begin();

	ask(fd, "k");
	ck_assert_uint_eq(ends, 1);
	ck_assert_str_eq(hear(fd), "(end)");
	close(fd);
}
END_TEST

START_TEST(run_ends)
{
	int fd = begin();
	char text[16] = "";

	gdb_destroy(gdb);
	gdb = NULL;
	ck_assert_int_eq(recv(fd, text, sizeof(text), 0), 7);
	ck_assert_str_eq(text, "$W00#b7");
	close(fd);
}
END_TEST

START_TEST(damaged_and_again)
{
	int fd = begin();

	ck_assert_int_eq(send(fd, "$g#00", 5, 0), 5);
	ck_assert_str_eq(hear(fd), "-");
	ck_assert_str_eq(ask(fd, "qC"), "+$QC1#c5");
	ck_assert_int_eq(send(fd, "-", 1, 0), 1);
	ck_assert_str_eq(hear(fd), "$QC1#c5");
	close(fd);
}
END_TEST

Suite *gdb_suite(void)
{
	Suite *s = suite_create("gdb");
	TCase *tc = unit_case(s, "gdb");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, what_makes_sense, 0, ARRAY_SIZE(texts));
	tcase_add_test(tc, socket_of_a_path);
	tcase_add_test(tc, port_of_this_machine);
	tcase_add_test(tc, kvm_cannot);
	tcase_add_test(tc, waits_for_it);
	tcase_add_test(tc, stops_and_goes);
	tcase_add_test(tc, memory);
	tcase_add_test(tc, breakpoint);
	tcase_add_test(tc, leaves_what_does_not_rest);
	tcase_add_test(tc, somebody_else);
	tcase_add_test(tc, does_not_read);
	tcase_add_test(tc, trap_of_the_guests);
	tcase_add_test(tc, step_and_watch);
	tcase_add_test(tc, one_at_a_time);
	tcase_add_test(tc, killed);
	tcase_add_test(tc, run_ends);
	tcase_add_test(tc, damaged_and_again);
	return s;
}

UNIT_MAIN(gdb_suite)
