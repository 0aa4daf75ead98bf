/* SPDX-License-Identifier: MIT */
#include "vmm/run/kernel/kernel_find.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/core/util.h"

#define MODULES "/lib/modules"
#define HEADER_AT 0x200 /* x86's boot protocol: where its header begins, its mark, ... */
#define HEADER_MARK 0x202
#define RELEASE_AT 0x20e /* ... and from there on, the release */

static char *path_of(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *path_of(const char *fmt, ...)
{
	va_list ap;
	char *path;

	va_start(ap, fmt);
	if (vasprintf(&path, fmt, ap) < 0)
		path = NULL;
	va_end(ap);
	return path;
}

static bool is_there(const char *path)
{
	return path && access(path, F_OK) == 0;
}

/* Has @dir the list of a kernel's modules? */
static bool has_modules(const char *dir)
{
	static const char *const lists[] = { "modules.dep", "modules.order" };
	bool has = false;
	char *path;
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(lists) && !has; i++) {
		path = path_of("%s/%s", dir, lists[i]);
		has = is_there(path);
		free(path);
	}
	return has;
}

/* @dir is taken, free()d where it is not the one. */
static void offer_modules(struct kernel_found *found, char *dir)
{
	if (dir && !found->modules && has_modules(dir))
		found->modules = dir;
	else
		free(dir);
}

static void set_release(struct kernel_found *found, const char *text)
{
	size_t len = strcspn(text, " \n");

	snprintf(found->release, sizeof(found->release), "%.*s",
		 (int)min_u64(len, sizeof(found->release) - 1), text);
	if (strchr(found->release, '/')) /* it becomes a name of a folder */
		*found->release = 0;
}

/* A bzImage says it behind its header. */
static void read_release(struct kernel_found *found)
{
	int fd = open(found->image, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	uint8_t head[HEADER_AT + 16];
	char text[KERNEL_RELEASE_MAX] = "";

	if (fd < 0)
		return;
	if (pread(fd, head, sizeof(head), 0) == sizeof(head) &&
	    !memcmp(head + HEADER_MARK, "HdrS", 4) &&
	    pread(fd, text, sizeof(text) - 1, HEADER_AT + le16_get(head + RELEASE_AT)) > 0)
		set_release(found, text);
	close(fd);
}

static int no_memory(const char *option, const char *text)
{
	log_err("%s %s: %s", option, text, strerror(ENOMEM));
	return -ENOMEM;
}

/* This system's. */

/* The image of @release, malloc()ed; NULL: it has none. */
static char *host_image(const char *root, const char *release)
{
	static const struct {
		const char *before, *after;
	} places[] = { { "/boot/vmlinuz-", "" }, { MODULES "/", "/vmlinuz" },
		       { "/boot/vmlinux-", "" } };
	char *path = NULL;
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(places) && !path; i++) {
		path = path_of("%s%s%s%s", root, places[i].before, release, places[i].after);
		if (!is_there(path)) {
			free(path);
			path = NULL;
		}
	}
	return path;
}

/* Of those that have modules the newest one with an image; "" where there is none. */
static void newest_release(const char *root, char release[KERNEL_RELEASE_MAX])
{
	char *path = path_of("%s" MODULES, root), *image;
	DIR *dir = path ? opendir(path) : NULL;
	struct dirent *e;

	*release = 0;
	while (dir && (e = readdir(dir))) {
		if (e->d_name[0] == '.' || strlen(e->d_name) >= KERNEL_RELEASE_MAX ||
		    strverscmp(e->d_name, release) <= 0)
			continue;
		image = host_image(root, e->d_name);
		if (image)
			snprintf(release, KERNEL_RELEASE_MAX, "%s", e->d_name);
		free(image);
	}
	if (dir)
		closedir(dir);
	free(path);
}

static int refuse_host(const char *option, const char *root, const char *running)
{
	log_err("%s host: no kernel of this system: neither %s/boot/vmlinuz-%s nor another one "
		"with modules in %s" MODULES "; its package brings one (Debian: linux-image-amd64, "
		"-arm64, -riscv64)", option, root, running, root);
	return -ENOENT;
}

int kernel_find_host(const char *option, const char *root, const char *running,
		     struct kernel_found *found)
{
	int err;

	*found = (struct kernel_found){ 0 };
	set_release(found, running);
	found->image = host_image(root, found->release);
	if (!found->image) {
		newest_release(root, found->release);
		found->image = *found->release ? host_image(root, found->release) : NULL;
	}
	if (!found->image)
		return refuse_host(option, root, running);
	offer_modules(found, path_of("%s" MODULES "/%s", root, found->release));
	if (access(found->image, R_OK) == 0)
		return 0;
	err = errno;
	log_err("%s host: %s: %s%s", option, found->image, strerror(err), err != EACCES ? "" :
		", as Ubuntu has it; 'sudo chmod a+r /boot/vmlinuz-*' lets you read it, until the "
		"next kernel");
	kernel_found_free(found);
	return -err;
}

/* A tree. */

/* What builds leave, and where packages and distributions have it. */
static const char *const tree_images[] = {
	"arch/x86/boot/bzImage", "arch/arm64/boot/Image", "arch/riscv/boot/Image", "vmlinux",
	"vmlinuz",
};

/* The one that was made last: a build of vmlinux alone has not made the others. */
static char *tree_image(const char *dir)
{
	struct timespec newest = { 0 };
	char *image = NULL, *path;
	struct stat st;
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(tree_images); i++) {
		path = path_of("%s/%s", dir, tree_images[i]);
		if (path && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
		    (!image || st.st_mtim.tv_sec > newest.tv_sec ||
		     (st.st_mtim.tv_sec == newest.tv_sec && st.st_mtim.tv_nsec > newest.tv_nsec))) {
			free(image);
			image = path;
			path = NULL;
			newest = st.st_mtim;
		}
		free(path);
	}
	return image;
}

/* As the build has written it. */
static void tree_release(const char *dir, struct kernel_found *found)
{
	char *path = path_of("%s/include/config/kernel.release", dir), line[KERNEL_RELEASE_MAX];
	FILE *in = path ? fopen(path, "re") : NULL;

	if (in && fgets(line, sizeof(line), in))
		set_release(found, line);
	else
		read_release(found);
	if (in)
		fclose(in);
	free(path);
}

static int find_tree(const char *option, const char *dir, struct kernel_found *found)
{
	size_t len = strlen(dir);

	while (len > 1 && dir[len - 1] == '/')
		len--;
	found->image = tree_image(dir);
	if (!found->image) {
		log_err("%s %s: this folder has no kernel: neither %s nor vmlinux, or another "
			"architecture's; 'make -j' there builds it", option, dir, tree_images[0]);
		return -ENOENT;
	}
	tree_release(dir, found);
	offer_modules(found, path_of("%.*s", (int)len, dir));
	if (*found->release)
		offer_modules(found, path_of("%.*s" MODULES "/%s", (int)len, dir, found->release));
	return 0;
}

int kernel_find_release(const char *dir, struct kernel_found *found)
{
	const char *name = strrchr(dir, '/');

	*found = (struct kernel_found){ 0 };
	set_release(found, name ? name + 1 : dir);
	found->image = path_of("%s/vmlinuz", dir);
	if (!is_there(found->image)) {
		kernel_found_free(found);
		return -ENOENT;
	}
	offer_modules(found, path_of("%s" MODULES "/%s", dir, found->release));
	return 0;
}

/* A file. */

/* Beside it, or in the system that it is the kernel of. */
static void find_modules(struct kernel_found *found)
{
	const char *name = strrchr(found->image, '/'), *release = found->release;
	int len = name ? name - found->image : 1;
	const char *dir = name ? found->image : ".";

	offer_modules(found, path_of("%.*s" MODULES "/%s", len, dir, release));
	offer_modules(found, path_of("%.*s/.." MODULES "/%s", len, dir, release));
	offer_modules(found, path_of("%.*s/../usr" MODULES "/%s", len, dir, release));
	offer_modules(found, path_of(MODULES "/%s", release));
}

static int find_file(const char *option, const char *path, struct kernel_found *found)
{
	const char *name = strrchr(path, '/'), *version = strchr(name ? name : path, '-');

	found->image = strdup(path);
	if (!found->image)
		return no_memory(option, path);
	read_release(found);
	if (!*found->release && version)
		set_release(found, version + 1);
	if (*found->release)
		find_modules(found);
	return 0;
}

int kernel_find(const char *option, const char *text, struct kernel_found *found)
{
	struct utsname uts;
	struct stat st;

	*found = (struct kernel_found){ 0 };
	if (!strcmp(text, "host")) {
		uname(&uts);
		return kernel_find_host(option, "", uts.release, found);
	}
	if (stat(text, &st) == 0 && S_ISDIR(st.st_mode))
		return find_tree(option, text, found);
	return find_file(option, text, found);
}

void kernel_found_free(struct kernel_found *found)
{
	free(found->image);
	free(found->modules);
	*found = (struct kernel_found){ 0 };
}
