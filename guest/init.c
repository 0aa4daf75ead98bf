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
#include <mntent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/job.h"
#include "guest/net.h"

#define ROOT "/mnt"
#define TRIES 10
#define TRY_US 50000
#define KLOG_CONSOLE_LEVEL 8 /* an action of klogctl() */

void init_log(const char *fmt, ...)
{
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	char line[256];
	va_list ap;

	if (fd < 0)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	dprintf(fd, "<3>init: %s\n", line);
	close(fd);
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

/* The kernel lists the types that it finds on disks without "nodev", in a column of their own. */
static int mount_any_type(const char *device, unsigned long flags)
{
	FILE *types = fopen("/proc/filesystems", "re");
	char line[64];
	int r = -ENODEV;

	while (types && r < 0 && fgets(line, sizeof(line), types)) {
		if (line[0] != '\t')
			continue;
		line[strcspn(line, "\n")] = 0;
		if (mount(device, ROOT, line + 1, flags, NULL) == 0)
			r = 0;
		else if (errno != EINVAL)
			r = -errno;
	}
	if (types)
		fclose(types);
	return r;
}

int init_mount_root(void)
{
	const char *what = init_word("lunette.root"), *type;
	char path[128], name[128];
	unsigned long flags;
	int r;

	if (!what)
		what = init_word("root");
	if (!what)
		return 0;
	snprintf(name, sizeof(name), "%s", what);
	flags = init_word("ro") ? MS_RDONLY : 0;
	r = disk_find(name, path, sizeof(path));
	if (r < 0) {
		init_log("root=%s: there is no such disk", name);
		return r;
	}
	type = init_word("rootfstype");
	if (type)
		r = mount(path, ROOT, type, flags, NULL) < 0 ? -errno : 0;
	else
		r = mount_any_type(path, flags);
	if (r == -EACCES || r == -EROFS) /* a disk that cannot be written */
		r = mount_any_type(path, MS_RDONLY);
	if (r < 0) {
		init_log("root=%s: %s has no file system that can be mounted: %s", name, path,
			 strerror(-r));
		return r;
	}
	return 1;
}

int init_enter_root(void)
{
	static const char *const along[] = { "/dev", "/proc", "/sys" };
	char to[16];
	size_t i;

	for (i = 0; i < sizeof(along) / sizeof(along[0]); i++) {
		snprintf(to, sizeof(to), ROOT "%s", along[i]);
		if (mount(along[i], to, NULL, MS_MOVE, NULL) < 0) {
			init_log("the root file system has no folder %s", along[i]);
			return -errno;
		}
	}
	if (chdir(ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
	    chdir("/") < 0)
		return -errno;
	return 0;
}

/* What a job is to reach it will miss by itself, so that this ends no run. */
static void set_up_network(void)
{
	const char *word = init_word("lunette.net");
	int r = net_up(word);

	if (r < 0 && word)
		init_log("lunette.net=%s: %s", word, strerror(-r));
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

/* Runs a command line of busybox's shell to its end; as process 1 has to, waits for all others. */
static int shell(const char *command)
{
	pid_t pid = fork(), ended;
	int status = 0;

	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	while ((ended = wait(&status)) != pid && (ended > 0 || errno == EINTR))
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Its output is the only thing on the console, byte for byte. */
static void run_script(void)
{
	klogctl(KLOG_CONSOLE_LEVEL, NULL, 1);
	shell("stty -opost -echo");
	shell("cd; exec setsid sh /job </dev/null");
}

static void run_shell(void)
{
	struct utsname uts;
	struct sysinfo info;

	klogctl(KLOG_CONSOLE_LEVEL, NULL, 4);
	uname(&uts);
	sysinfo(&info);
	printf("\n%s %s, %d CPU, %lu MiB\n", uts.sysname, uts.release, get_nprocs(),
	       info.totalram * info.mem_unit >> 20);
	disks_list();
	printf("The end of this shell (Ctrl-D) powers the guest off; Ctrl-A x stops it at once.\n");
	fflush(stdout);
	shell("cd; exec setsid cttyhack sh");
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

/* Leaves nothing unwritten: who still runs is killed, so that its files can be let go. */
static void power_off(void)
{
	kill(-1, SIGKILL);
	while (wait(NULL) > 0 || errno == EINTR)
		;
	chdir("/");
	init_write_back();
	init_write("/proc/sys/kernel/printk", "0"); /* else it says "Power down" on the console */
	reboot(RB_POWER_OFF);
}

int main(void)
{
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", "/root", 1);
	sethostname("lunette", strlen("lunette"));
	mount_all();
	open_standard_fds();
	disks_setup();
	set_up_network();
	if (init_word(JOB_WORD)) {
		job_main();
		power_off();
	}
	open_console();
	if (access("/job", F_OK) == 0)
		run_script();
	else if (init_mount_root() > 0)
		run_root(); /* comes back when there is no init */
	else
		run_shell();
	power_off();
	return 0;
}
