/* SPDX-License-Identifier: MIT */
#include "devices/shared_join.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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

/* Where others may write, somebody else may have been first. */
static bool is_own(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
	       !(st.st_mode & 022) && access(path, W_OK | X_OK) == 0;
}

static const char *variable(const char *value)
{
	return value && *value == '/' ? value : NULL;
}

/* False: there is none, and none can be made, or is to be. */
static bool find_folder(bool make, char path[PATH_MAX])
{
	const char *run = variable(getenv("XDG_RUNTIME_DIR"));
	const char *const others[] = { variable(getenv("TMPDIR")), "/var/tmp", "/tmp" };
	unsigned i;

	snprintf(path, PATH_MAX, "%s/lunette", run ? run : "");
	if (run && make)
		mkdir(path, 0700);
	if (run && is_own(path))
		return true;
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		if (!others[i])
			continue;
		snprintf(path, PATH_MAX, "%s/lunette-%u", others[i], geteuid());
		if (make)
			mkdir(path, 0700);
		if (is_own(path))
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

static bool put_place(const char *folder, const char *name, struct shared_place *place)
{
	char path[sizeof(place->socket)];
	int n = snprintf(path, sizeof(path), "%s/%s", folder, name);

	return n >= 0 && n < (int)sizeof(path) && shared_place_of(path, place);
}

int shared_place(const char *name, struct shared_place *place)
{
	char folder[PATH_MAX];

	if (!find_folder(true, folder)) {
		log_err("shared=%s: there is no folder for its socket; XDG_RUNTIME_DIR, or TMPDIR, "
			"has to name one that only you can write to", name);
		return -EACCES;
	}
	if (put_place(folder, name, place))
		return 0;
	log_err("shared=%s: the path of its socket, in %s, is longer than %zu bytes; "
		"XDG_RUNTIME_DIR may name another folder", name, folder,
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

bool shared_get(int sock, void *data, size_t len, int ms)
{
	uint64_t until = user_now() + ms;
	size_t done = 0;

	while (done < len) {
		struct pollfd readable = { .fd = sock, .events = POLLIN };
		uint64_t now = user_now();
		ssize_t n;

		if (now >= until || poll(&readable, 1, (int)(until - now)) == 0)
			return false;
		n = recv(sock, (char *)data + done, len - done, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return false;
		done += n < 0 ? 0 : n;
	}
	return true;
}

/* A few KiB, for which a socket has room at once. */
bool shared_put(int sock, const void *data, size_t len)
{
	return send(sock, data, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len;
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

/* 1: the server has gone meanwhile. */
static int greet(const char *name, int sock, const struct shared_hello *hello,
		 struct shared_answer *answer)
{
	*answer = (struct shared_answer){ 0 };
	if (!shared_peer_ok(sock)) {
		log_err("shared=%s: its server is another user's", name);
		return -EPERM;
	}
	if (!shared_put(sock, hello, sizeof(*hello)))
		return 1;
	if (shared_get(sock, answer, sizeof(*answer), ANSWER_MS)) {
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
		     const struct shared_hello *hello, struct shared_answer *answer)
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
		r = greet(name, sock, hello, answer);
	close(lock);
	if (!r)
		return sock;
	if (sock >= 0)
		close(sock);
	if (r < 0 && r != -EADDRINUSE && *answer->text)
		log_err("%s", answer->text);
	return r > 0 ? -EAGAIN : r;
}

int shared_join(const char *name, const struct shared_hello *hello, struct shared_answer *answer)
{
	uint64_t until = user_now() + BUSY_MS;
	struct shared_place place;
	int r = shared_place(name, &place);

	if (r < 0)
		return r;
	for (;;) {
		*answer = (struct shared_answer){ 0 };
		r = join_once(name, &place, hello, answer);
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

/* What nobody listens at is removed, with its lock. */
static int clean_one(const char *folder, const char *name, FILE *out)
{
	struct shared_place place;
	int lock, sock, r = 0;

	if (!put_place(folder, name, &place) ||
	    (access(place.socket, F_OK) < 0 && access(place.lock, F_OK) < 0))
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

int shared_clean(FILE *out)
{
	char folder[PATH_MAX];
	const struct dirent *entry;
	int r = 0, err;
	struct stat st;
	DIR *d;

	if (!find_folder(false, folder))
		return 0;
	d = opendir(folder);
	while (d && (entry = readdir(d))) {
		size_t len = strlen(entry->d_name), end = strlen(SUFFIX);
		char name[sizeof(entry->d_name)];

		strcpy(name, entry->d_name);
		if (len > end && !strcmp(name + len - end, SUFFIX))
			name[len - end] = 0;
		else if (fstatat(dirfd(d), name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			 !S_ISSOCK(st.st_mode))
			continue;
		err = clean_one(folder, name, out);
		r = r ? r : err;
	}
	if (d)
		closedir(d);
	return r;
}
