/* SPDX-License-Identifier: MIT */
/*
 * init.c - the first process of a guest: makes it ready, does the first of these that applies, and
 * powers the guest off.
 *
 *	lunette.job   on the kernel's command line: a command that lunette runs there (job.c)
 *	/job          if there is such a script: that, on the console
 *	root=         there too, or lunette.root=lun:N, which "lunette run --root" puts there: the
 *	              root file system's own init takes over
 *	otherwise     a shell on the console
 *
 * Static: of the root file system it needs nothing, and of the initramfs busybox, for the shell and
 * for rare errands. Until there is a console it speaks to the kernel's log.
 */
#include "guest/init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ids.h>
#include <mntent.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/ending.h"
#include "guest/job.h"
#include "guest/net.h"

#define TRIES 10
#define TRY_US 50000
#define KLOG_CONSOLE_LEVEL 8 /* an action of klogctl() */

static char said[384];

void init_log(const char *fmt, ...)
{
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(said, sizeof(said), fmt, ap);
	va_end(ap);
	if (fd < 0)
		return;
	dprintf(fd, "<3>init: %s\n", said);
	close(fd);
}

const char *init_said(void)
{
	return said;
}

char *init_read(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[n < 0 ? 0 : n] = 0;
	return text;
}

int init_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		r = -errno;
	close(fd);
	return r;
}

const char *init_word(const char *name)
{
	static char line[4096];
	size_t len = strlen(name);
	const char *found = NULL;
	char *word, *rest = init_read("/proc/cmdline", line, sizeof(line));

	while ((word = strsep(&rest, " \n"))) {
		if (!strncmp(word, name, len) && (!word[len] || word[len] == '='))
			found = word + len + (word[len] == '=');
	}
	return found;
}

static const struct {
	const char *type, *at;
	unsigned long flags;
} mounts[] = {
	{ "devtmpfs", "/dev", MS_NOSUID },
	{ "proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC },
	{ "tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV },
};

static void mount_all(void)
{
	size_t i;

	for (i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		mkdir(mounts[i].at, 0755);
		mount(mounts[i].type, mounts[i].at, mounts[i].type, mounts[i].flags, NULL);
	}
	symlink("/proc/self/fd", "/dev/fd");
	symlink("/proc/self/fd/0", "/dev/stdin");
	symlink("/proc/self/fd/1", "/dev/stdout");
	symlink("/proc/self/fd/2", "/dev/stderr");
}

bool init_network(void)
{
	const char *word = init_word("lunette.net");
	int r = net_up(word);

	if (r == 0 || !word)
		return true;
	init_log("lunette.net=%s: %s", word, strerror(-r));
	return false;
}

/* Without a console the kernel opens none of them, and another file would get the number. */
static void open_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/*
 * With console=hvc0 there is no console before virtio_console has found its port, or ever. Then the
 * serial port is as good as what early messages of the kernel went to.
 */
static bool open_console(void)
{
	static const char *const names[] = { "/dev/console", "/dev/ttyS0" };
	int try, fd;

	for (try = 0; try < 2 * TRIES; try++) {
		fd = open(names[try / TRIES], O_RDWR | O_NOCTTY);
		if (fd >= 0) {
			dup2(fd, STDIN_FILENO);
			dup2(fd, STDOUT_FILENO);
			dup2(fd, STDERR_FILENO);
			close(fd);
			return true;
		}
		usleep(TRY_US);
	}
	return false;
}

/*
 * Runs a command line of busybox's shell to its end, unless another end is asked for; as process 1
 * has to, waits for all others meanwhile.
 */
static enum ending shell(struct ending_source *ends, const char *command)
{
	struct pollfd fd[] = { { ends->signals, POLLIN, 0 }, { ends->fifo, POLLIN, 0 } };
	enum ending how = ENDING_NONE;
	pid_t pid = fork(), ended;
	bool gone = pid < 0;
	int status;

	if (pid == 0) {
		ending_forget();
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	while (!gone && !how) {
		poll(fd, 2, -1);
		how = ending_asked(ends);
		while ((ended = waitpid(-1, &status, WNOHANG)) > 0) {
			gone = gone || ended == pid;
			if (!how)
				exec_ended(ended, status);
		}
	}
	how = how ? how : ending_asked(ends); /* it may have been its last word */
	if (how)
		ending_tell_all();
	return how;
}

/* Its output is the only thing on the console, byte for byte. */
static enum ending run_script(struct ending_source *ends)
{
	klogctl(KLOG_CONSOLE_LEVEL, NULL, 1);
	shell(ends, "stty -opost -echo");
	return shell(ends, "cd; exec setsid sh /job </dev/null");
}

void init_greet(void)
{
	int cpus = get_nprocs();
	struct utsname uts;
	struct sysinfo info;

	uname(&uts);
	sysinfo(&info);
	printf("\n%s %s, %d CPU%s, %lu MiB\n", uts.sysname, uts.release, cpus,
	       cpus == 1 ? "" : "s", info.totalram * info.mem_unit >> 20);
	disks_list();
	printf("Ctrl-D or poweroff ends this guest, Ctrl-A x stops it at once.\n");
	fflush(stdout);
}

static enum ending run_shell(struct ending_source *ends)
{
	klogctl(KLOG_CONSOLE_LEVEL, NULL, 4);
	init_greet();
	return shell(ends, "cd; exec setsid cttyhack sh");
}

static void run_root(void)
{
	const char *word = init_word("init");
	char path[256];

	snprintf(path, sizeof(path), "%s", word ? word : "/sbin/init");
	if (init_enter_root() < 0)
		return;
	execl(path, path, (char *)NULL);
	init_log("%s: %s", path, strerror(errno));
}

/* The newest first, as one may stand on another. */
static void let_go(FILE *list)
{
	struct mntent *m = getmntent(list);
	bool disk;
	char *dir;

	if (!m)
		return;
	disk = !strncmp(m->mnt_fsname, "/dev/", 5);
	dir = strdup(m->mnt_dir);
	let_go(list);
	if (disk && dir && umount(dir) < 0)
		mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL);
	free(dir);
}

void init_write_back(void)
{
	FILE *list = setmntent("/proc/self/mounts", "re");

	sync();
	if (list) {
		let_go(list);
		endmntent(list);
	}
}

/* On the console. */
static enum ending run_by_hand(void)
{
	struct ending_source ends;

	init_network();
	open_console();
	if (access("/job", F_OK) < 0 && init_mount_root() > 0) {
		run_root(); /* comes back when there is no init */
		return ENDING_NONE;
	}
	ending_open(&ends);
	ending_make_fifo(&ends);
	exec_start(NULL);
	return access("/job", F_OK) == 0 ? run_script(&ends) : run_shell(&ends);
}

int main(void)
{
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", "/root", 1);
	sethostname("lunette", strlen("lunette"));
	mount_all();
	open_standard_fds();
	disks_setup();
	if (virtio_count(VIRTIO_ID_NET, false))
		module_probe("virtio_net");
	if (virtio_count(VIRTIO_ID_BLOCK, false))
		module_probe("virtio_blk");
	if (virtio_count(VIRTIO_ID_BALLOON, false))
		module_probe("virtio_balloon");
	if (virtio_count(VIRTIO_ID_VSOCK, false))
		module_probe("vmw_vsock_virtio_transport");
	if (virtio_count(VIRTIO_ID_FS, false))
		module_probe("virtiofs");
	ending_go(init_word(JOB_WORD) ? job_main() : run_by_hand());
	return 0;
}
