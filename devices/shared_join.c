/* SPDX-License-Identifier: MIT */
#include "devices/shared_join.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "virtio/user_msg.h"
#include "vmm/core/compat.h"
#include "vmm/core/fail.h"
#include "vmm/core/libc.h"
#include "vmm/core/log.h"
#include "vmm/core/own_folder.h"
#include "vmm/core/utf8.h"
#include "vmm/core/util.h"

#define LOCK_MS 30000   /* for another who comes, whose disk may take its time to be opened */
#define ANSWER_MS 30000
#define BUSY_MS 5000    /* for a guest of the same name that has been killed to be noticed */
#define PAUSE_MS 20
#define SUFFIX ".lock"

static void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = PAUSE_MS * 1000000l }, NULL);
}

/* Names and places. */

int shared_name_check(const char *id, const char *key, const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.";
	size_t len = strlen(name);

	if (len && len <= SHARED_NAME_MAX && *name != '.' && !name[strspn(name, allowed)] &&
	    (len < strlen(SUFFIX) || strcmp(name + len - strlen(SUFFIX), SUFFIX)))
		return 0;
	log_err("%s: %s=%s: 1 to %d of letters, digits, '-', '_' and '.' are wanted, no '.' at the "
		"beginning, no %s at the end", id, key, name, SHARED_NAME_MAX, SUFFIX);
	return -EUSAGE;
}

/* Number @i, from 0 on, of those where they may meet. False: no more. */
static bool folder(unsigned i, char path[PATH_MAX])
{
	const char *run = own_variable("XDG_RUNTIME_DIR");

	if (!run || i)
		return own_temporary(i - !!run, path);
	snprintf(path, PATH_MAX, "%s/lunette", run);
	return true;
}

/* The first that can be made, or is there. False: there is none. */
static bool find_folder(char path[PATH_MAX])
{
	unsigned i;

	for (i = 0; folder(i, path); i++) {
		if (own_folder(path, true) == 0)
			return true;
	}
	return false;
}

bool shared_place_of(const char *socket, struct shared_place *place)
{
	if (strlen(socket) >= sizeof(place->socket))
		return false;
	strcpy(place->socket, socket);
	snprintf(place->lock, sizeof(place->lock), "%s" SUFFIX, socket);
	return true;
}

static bool put_place(const char *in, const char *name, struct shared_place *place)
{
	char path[sizeof(place->socket)];
	int n = snprintf(path, sizeof(path), "%s/%s", in, name);

	return n >= 0 && n < (int)sizeof(path) && shared_place_of(path, place);
}

int shared_place(const char *name, struct shared_place *place)
{
	char path[PATH_MAX];

	if (!find_folder(path)) {
		log_err("shared=%s: there is no folder for its socket; XDG_RUNTIME_DIR, or TMPDIR, "
			"has to name one that only you can write to", name);
		return -EACCES;
	}
	if (put_place(path, name, place))
		return 0;
	log_err("shared=%s: the path of its socket, in %s, is longer than %zu bytes; "
		"XDG_RUNTIME_DIR may name another folder", name, path,
		sizeof(place->socket) - 1);
	return -ENAMETOOLONG;
}

/* One that its server has taken away meanwhile is nobody's. */
static bool is_there(int fd, const char *path)
{
	struct stat ours, there;

	return fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_ino == there.st_ino &&
	       ours.st_dev == there.st_dev;
}

int shared_lock(const struct shared_place *place, int ms)
{
	uint64_t until = user_now() + ms;

	for (;;) {
		int fd = open(place->lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return -1;
		if (flock(fd, LOCK_EX | LOCK_NB) == 0 && is_there(fd, place->lock))
			return fd;
		close(fd);
		if (user_now() >= until)
			return -1;
		nap();
	}
}

/* What is said before the server serves. */

/* The process is not known so: the socket is one of who has started the server. */
bool shared_peer_ok(int sock)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == geteuid() || peer.uid == 0);
}

bool shared_get(int sock, void *data, size_t len, int *fd, int ms)
{
	int fds[USER_FDS_MAX];
	unsigned nfds;
	bool all = user_take(sock, data, len, fds, &nfds, ms) == 0;

	if (fd)
		*fd = all && nfds == 1 ? fds[--nfds] : -1;
	user_close_fds(fds, &nfds);
	return all;
}

/* A few KiB, for which a socket has room at once. */
bool shared_put(int sock, const void *data, size_t len, int fd)
{
	return user_put(sock, data, len, &fd, fd >= 0, 0) == 0;
}

/* The server. */

static int socket_at(const struct shared_place *place, struct sockaddr_un *at)
{
	*at = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(at->sun_path, place->socket, strlen(place->socket));
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

/* -1: nobody listens. */
static int dial(const struct shared_place *place)
{
	struct sockaddr_un at;
	int sock = socket_at(place, &at);

	if (sock >= 0 && connect(sock, (struct sockaddr *)&at, sizeof(at)) == 0)
		return sock;
	if (sock >= 0)
		close(sock);
	return -1;
}

/* The mode of a socket that has no name yet is that of its name later, but for the umask. */
static int listen_at(const struct shared_place *place)
{
	struct sockaddr_un at;
	int err, sock = socket_at(place, &at);

	unlink(place->socket);
	if (sock >= 0 && fchmod(sock, 0600) == 0 &&
	    bind(sock, (struct sockaddr *)&at, sizeof(at)) == 0 &&
	    listen(sock, SHARED_INITIATORS) == 0)
		return sock;
	err = errno;
	if (sock >= 0)
		close(sock);
	return -err;
}

/* A session of its own, without a file of ours; it leaves us at once, and is nobody's child. */
static int spawn(const char *const *argv, int listener)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int r, status = 1;
	pid_t pid;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
				 POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDWR, 0);
	posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_RDWR, 0);
	posix_spawn_file_actions_adddup2(&files, listener, SHARED_LISTENER);
	posix_spawn_file_actions_addclosefrom_np(&files, SHARED_LISTENER + 1);
	r = posix_spawn(&pid, "/proc/self/exe", &files, &attr, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	while (r == 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return r ? -r : status ? -ECHILD : 0;
}

/* With the lock. Who dials now waits for it. */
static int start(const char *name, const struct shared_place *place)
{
	const char *const argv[] = { "lunette", SHARED_PROGRAM, name, place->socket, NULL };
	int listener = listen_at(place), r = listener;

	if (listener >= 0) {
		r = spawn(argv, listener);
		close(listener);
	}
	if (r == -ECHILD)
		log_err("shared=%s: its server has ended at once", name);
	else if (r < 0)
		log_err("shared=%s: its server cannot be started, to listen at %s: %s", name,
			place->socket, strerror(-r));
	if (r < 0)
		unlink(place->socket);
	return r < 0 ? r : 0;
}

/* With it goes the other end of *@ear. False: nobody takes it. */
static bool put_hello(int sock, const struct shared_hello *hello, int *ear)
{
	int pair[2] = { -1, -1 };
	bool put;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return shared_put(sock, hello, sizeof(*hello), -1);
	put = shared_put(sock, hello, sizeof(*hello), pair[1]);
	close(pair[1]);
	*ear = pair[0];
	return put;
}

/* 1: the server has gone meanwhile. */
static int greet(const char *name, int sock, const struct shared_hello *hello,
		 struct shared_answer *answer, int *ear)
{
	*answer = (struct shared_answer){ 0 };
	if (!shared_peer_ok(sock)) {
		log_err("shared=%s: its server is another user's", name);
		return -EPERM;
	}
	if (!put_hello(sock, hello, ear))
		return 1;
	if (shared_get(sock, answer, sizeof(*answer), NULL, ANSWER_MS)) {
		answer->text[sizeof(answer->text) - 1] = 0;
		answer->serial[sizeof(answer->serial) - 1] = 0;
		answer->naa[sizeof(answer->naa) - 1] = 0;
		return answer->err > 0 ? -EPROTO : answer->err;
	}
	if (recv(sock, answer, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN) {
		log_err("shared=%s: its server does not answer", name);
		return -ETIMEDOUT;
	}
	return 1;
}

/* As shared_join(); -EAGAIN: the server has gone meanwhile; it and -EADDRINUSE without a line. */
static int join_once(const char *name, const struct shared_place *place,
		     const struct shared_hello *hello, struct shared_answer *answer, int *ear)
{
	int lock = shared_lock(place, LOCK_MS), sock, r = 0;

	if (lock < 0) {
		log_err("shared=%s: others who come, or start its server, do not get done: %s",
			name, place->lock);
		return -ETIMEDOUT;
	}
	sock = dial(place);
	if (sock < 0) {
		r = start(name, place);
		sock = r < 0 ? -1 : dial(place);
		r = !r && sock < 0 ? 1 : r;
	}
	if (!r)
		r = greet(name, sock, hello, answer, ear);
	close(lock);
	if (!r)
		return sock;
	if (sock >= 0)
		close(sock);
	if (r < 0 && r != -EADDRINUSE && *answer->text)
		log_err("%s", answer->text);
	return r > 0 ? -EAGAIN : r;
}

int shared_join(const char *name, const struct shared_place *place,
		const struct shared_hello *hello, struct shared_answer *answer, int *ear)
{
	uint64_t until = user_now() + BUSY_MS;
	int r;

	for (;;) {
		*answer = (struct shared_answer){ 0 };
		*ear = -1;
		r = join_once(name, place, hello, answer, ear);
		if (r < 0 && *ear >= 0)
			close(*ear);
		if ((r != -EADDRINUSE && r != -EAGAIN) || user_now() >= until)
			break;
		nap();
	}
	if (r == -EADDRINUSE)
		log_err("%s; give this one another name", answer->text);
	else if (r == -EAGAIN)
		log_err("shared=%s: its server ends whenever it is asked", name);
	return r == -EADDRINUSE ? -EUSAGE : r;
}

/* Is at @path a file of @type, an empty one? 0: nothing is there; -1: something else. */
static int look(const char *path, mode_t type)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -1;
	return (st.st_mode & S_IFMT) == type && !st.st_size ? 1 : -1;
}

/* What nobody listens at is removed, with its lock. What is no such thing is another's. */
static int clean_one(const char *in, const char *name, FILE *out)
{
	struct shared_place place;
	int lock, sock, r = 0;

	if (!put_place(in, name, &place))
		return 0;
	sock = look(place.socket, S_IFSOCK);
	lock = look(place.lock, S_IFREG);
	if (sock < 0 || lock < 0 || sock + lock == 0)
		return 0;
	lock = shared_lock(&place, 0);
	if (lock < 0)
		return 0;
	sock = dial(&place);
	if (sock >= 0) {
		close(sock);
	} else if ((unlink(place.socket) < 0 && errno != ENOENT) || unlink(place.lock) < 0) {
		r = -errno;
		log_err("%s: cannot be removed: %s", place.socket, strerror(-r));
	} else {
		utf8_line(out, "removed %s", place.socket);
	}
	close(lock);
	return r;
}

static int clean_folder(const char *path, FILE *out)
{
	DIR *d = opendir(path);
	const struct dirent *entry;
	int r = 0, err;

	while (d && (entry = readdir(d))) {
		size_t len = strlen(entry->d_name), end = strlen(SUFFIX);
		char name[sizeof(entry->d_name)];

		strcpy(name, entry->d_name);
		if (len > end && !strcmp(name + len - end, SUFFIX))
			name[len - end] = 0;
		err = clean_one(path, name, out);
		r = r ? r : err;
	}
	if (d)
		closedir(d);
	return r;
}

/* Where they would meet now, and where they would if a variable said something else. */
int shared_clean(FILE *out)
{
	char path[PATH_MAX];
	int r = 0, err;
	unsigned i;

	for (i = 0; folder(i, path); i++) {
		err = own_folder(path, false) < 0 ? 0 : clean_folder(path, out);
		r = r ? r : err;
	}
	return r;
}
