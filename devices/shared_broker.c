/* SPDX-License-Identifier: MIT */
#include "devices/shared_broker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "devices/devices.h"
#include "devices/shared_join.h"
#include "vmm/core/fail.h"
#include "vmm/core/libc.h"
#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/core/thread.h"
#include "vmm/core/util.h"

#define HELLO_MS 5000 /* for a guest to say what it wants */
#define LOOK_MS 20    /* between looks whether it is over */
#define GUESTS_MAX (SHARED_INITIATORS + 16) /* with those that have not said yet what they want */

struct broker;

struct guest {
	struct broker *broker;
	struct thread thread;
	int sock;
	int ear;    /* for lines about it; -1: it has none */
	bool known; /* @hello has come */
	struct shared_hello hello;
	atomic_bool over;
	LIST_ENTRY(guest) link;
};

struct broker {
	const char *name;
	struct shared_place place;
	int listener;
	struct shared_lun lun;
	struct loop *loop;
	struct loop_source incoming, ended, timer;
	bool starved; /* incoming is paused: no thread, descriptor or place for one more */
	int lock; /* from take_leave() on; else -1 */
	unsigned nguests;
	LIST_HEAD(, guest) guests;
};

static void let_lock_go(struct broker *b)
{
	if (b->lock >= 0)
		close(b->lock);
	b->lock = -1;
}

/* With the lock nobody can be about to come, but who is in the socket's queue already. */
static bool take_leave(struct broker *b)
{
	struct pollfd waiting = { .fd = b->listener, .events = POLLIN };
	bool alone;

	b->lock = shared_lock(&b->place, 0);
	alone = b->lock >= 0 && poll(&waiting, 1, 0) == 0;
	if (alone)
		unlink(b->place.socket);
	else
		let_lock_go(b);
	return alone;
}

/* The disk is closed: who comes next, and has waited, finds it free. */
static void leave(struct broker *b)
{
	if (b->lock >= 0)
		unlink(b->place.lock);
	let_lock_go(b);
}

static int accept_one(const struct broker *b)
{
	int sock = accept4(b->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (sock >= 0 && !shared_peer_ok(sock)) {
		close(sock);
		sock = -1;
		errno = EPERM;
	}
	return sock;
}

static void close_any(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* *@ear: the caller's. */
static bool get_hello(int sock, struct shared_hello *hello, int *ear)
{
	return shared_get(sock, hello, sizeof(*hello), ear, HELLO_MS) && shared_hello_ok(hello);
}

/* Guests. */

static void serve(struct guest *g)
{
	struct shared_lun *lun = &g->broker->lun;
	struct shared_initiator *initiator;
	struct shared_answer answer;

	if (!g->known && !get_hello(g->sock, &g->hello, &g->ear))
		return;
	log_send(g->ear);
	if (shared_lun_join(lun, &g->hello, &answer, &initiator) < 0) {
		shared_put(g->sock, &answer, sizeof(answer), -1);
		return;
	}
	if (shared_put(g->sock, &answer, sizeof(answer), -1))
		shared_lun_serve(initiator, g->sock, g->ear);
	shared_lun_leave(lun, initiator);
}

static void guest_main(void *arg)
{
	struct guest *g = arg;
	int ended = g->broker->ended.fd;

	serve(g);
	shutdown(g->sock, SHUT_RDWR);
	atomic_store(&g->over, true);
	eventfd_write(ended, 1);
}

/* Takes over @sock, and @ear. */
static void add_guest(struct broker *b, int sock, const struct shared_hello *hello, int ear)
{
	struct guest *g = calloc(1, sizeof(*g));

	if (g) {
		g->broker = b;
		g->sock = sock;
		g->ear = ear;
		g->known = hello;
		if (hello)
			g->hello = *hello;
		LIST_INSERT_HEAD(&b->guests, g, link);
		if (thread_start(&g->thread, THREAD_STORE, "client", guest_main, g) == 0) {
			b->nguests++;
			return;
		}
		LIST_REMOVE(g, link);
		free(g);
	}
	close(sock);
	close_any(ear);
}

static void set_timer(const struct broker *b, bool on)
{
	const struct timespec t = { .tv_nsec = on ? LOOK_MS * 1000000l : 0 };

	timerfd_settime(b->timer.fd, 0, &(struct itimerspec){ t, t }, NULL);
}

static void incoming(void *arg)
{
	struct broker *b = arg;
	int sock = accept_one(b);

	if (sock >= 0)
		add_guest(b, sock, NULL, -1);
	else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
		b->starved = true;
	b->starved |= b->nguests == GUESTS_MAX;
	if (b->starved) /* until the next one ends */
		loop_pause(b->loop, &b->incoming);
}

static void ended(void *arg)
{
	struct broker *b = arg;
	struct guest *g, *next;
	eventfd_t count;

	eventfd_read(b->ended.fd, &count);
	for (g = LIST_FIRST(&b->guests); g; g = next) {
		next = LIST_NEXT(g, link);
		if (!atomic_load(&g->over))
			continue;
		thread_join(&g->thread);
		LIST_REMOVE(g, link);
		b->nguests--;
		close(g->sock);
		close_any(g->ear);
		free(g);
	}
	if (b->starved)
		loop_resume(b->loop, &b->incoming);
	b->starved = false;
	set_timer(b, LIST_EMPTY(&b->guests));
}

static void look(void *arg)
{
	struct broker *b = arg;
	uint64_t count;

	if (read(b->timer.fd, &count, sizeof(count)) < 0)
		return;
	if (!LIST_EMPTY(&b->guests))
		set_timer(b, false);
	else if (take_leave(b))
		loop_stop(b->loop);
}

/* Life. */

static int add_source(struct broker *b, struct loop_source *source, int fd, void (*fn)(void *arg))
{
	*source = (struct loop_source){ .fd = fd, .fn = fn, .arg = b };
	return fd < 0 ? -errno : loop_add(b->loop, source);
}

static int make_loop(struct broker *b)
{
	int r;

	b->incoming.fd = b->ended.fd = b->timer.fd = -1;
	b->loop = loop_create("main");
	if (!b->loop)
		return -errno;
	r = add_source(b, &b->incoming, b->listener, incoming);
	if (!r)
		r = add_source(b, &b->ended, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), ended);
	if (!r)
		r = add_source(b, &b->timer,
			       timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), look);
	return r;
}

static void end_loop(struct broker *b)
{
	if (b->ended.fd >= 0)
		close(b->ended.fd);
	if (b->timer.fd >= 0)
		close(b->timer.fd);
	if (b->loop)
		loop_destroy(b->loop);
}

/* Nothing of who has started it is kept. */
static void let_go(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0) {
		dup2(null, STDERR_FILENO);
		close(null);
	}
	if (chdir("/") < 0)
		log_debug("shared-disk: the folder stays in use");
}

/* The disk is open for @hello, who is at @sock, and hears at @ear. */
static int run(struct broker *b, int sock, const struct shared_hello *hello, int ear,
	       int (*confine)(void))
{
	int r = make_loop(b);

	if (!r)
		r = confine ? confine() : 0;
	if (r < 0) {
		close(sock);
		close_any(ear);
	} else {
		let_go();
		add_guest(b, sock, hello, ear);
		if (LIST_EMPTY(&b->guests))
			set_timer(b, true);
		loop_run(b->loop);
	}
	end_loop(b);
	return r;
}

/* Who was refused may have been the first of several. */
static int open_for(struct broker *b, int sock, struct shared_hello *hello, int *ear)
{
	struct shared_answer answer = { 0 };
	int r;

	if (!get_hello(sock, hello, ear))
		return -EPROTO;
	r = shared_lun_open(&b->lun, b->name, hello, &answer);
	if (r < 0)
		shared_put(sock, &answer, sizeof(answer), -1);
	return r;
}

static int await_first(struct broker *b, int (*confine)(void))
{
	struct pollfd waiting = { .fd = b->listener, .events = POLLIN };
	struct shared_hello hello;
	int sock, ear = -1, r;

	for (;;) {
		if (poll(&waiting, 1, LOOK_MS) == 0) {
			if (take_leave(b))
				return 0;
			continue;
		}
		sock = accept_one(b);
		if (sock < 0)
			continue;
		r = open_for(b, sock, &hello, &ear);
		if (!r)
			break;
		close(sock);
		close_any(ear);
	}
	r = run(b, sock, &hello, ear, confine);
	shared_lun_close(&b->lun);
	return r;
}

int shared_broker(int argc, char **argv, int (*confine)(void))
{
	struct broker b = { .listener = SHARED_LISTENER, .lock = -1 };
	int listens = 0, r;
	socklen_t len = sizeof(listens);
	pid_t pid;

	if (argc != 2 || getsockopt(b.listener, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 ||
	    !listens || !shared_place_of(argv[1], &b.place) ||
	    shared_name_check(SHARED_PROGRAM, "shared", argv[0]) < 0) {
		log_err(SHARED_PROGRAM ": is started by run --disk FILE,shared=NAME, and by nobody "
			"else");
		return -EUSAGE;
	}
	pid = fork();
	if (pid)
		return pid < 0 ? -errno : 0;
	prctl(PR_SET_NAME, "lunette-shared");
	log_set_level(LOG_WARN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	fcntl(b.listener, F_SETFD, FD_CLOEXEC);
	fcntl(b.listener, F_SETFL, O_NONBLOCK);
	b.name = argv[0];
	LIST_INIT(&b.guests);
	r = await_first(&b, confine);
	leave(&b);
	close(b.listener);
	return r;
}
