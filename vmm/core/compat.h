/* SPDX-License-Identifier: MIT */
/*
 * compat.h - what kernel headers and C libraries of 2022 lack, as Ubuntu 22.04's: asked for when
 * this is compiled, so that no source has an #if. What the running kernel lacks is told by errno.
 */
#ifndef CORE_COMPAT_H
#define CORE_COMPAT_H

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/core/libc.h"

#if __has_include(<sys/pidfd.h>)
#include <sys/pidfd.h>
#else
static inline int pidfd_open(pid_t pid, unsigned flags)
{
	return syscall(SYS_pidfd_open, pid, flags);
}

static inline int pidfd_send_signal(int fd, int sig, siginfo_t *info, unsigned flags)
{
	return syscall(SYS_pidfd_send_signal, fd, sig, info, flags);
}
#endif

#ifndef IORING_SETUP_COOP_TASKRUN
#define IORING_SETUP_COOP_TASKRUN (1u << 8)
#endif

#ifndef VHOST_VDPA_GET_CONFIG_SIZE
#define VHOST_VDPA_GET_CONFIG_SIZE _IOR(VHOST_VIRTIO, 0x79, uint32_t)
#endif
#ifndef VHOST_VDPA_SUSPEND
#define VHOST_VDPA_SUSPEND _IO(VHOST_VIRTIO, 0x7D)
#endif
#ifndef VHOST_BACKEND_F_SUSPEND
#define VHOST_BACKEND_F_SUSPEND 0x4
#endif
#ifndef VHOST_VDPA_GET_VQS_COUNT
#define VHOST_VDPA_GET_VQS_COUNT _IOR(VHOST_VIRTIO, 0x80, uint32_t)
#endif

/* What O_DIRECT asks of memory and of offsets; false: nobody tells. */
static inline bool statx_dioalign(int fd, uint32_t *memory, uint32_t *offset)
{
#ifdef STATX_DIOALIGN
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) < 0)
		return false;
	if (!(st.stx_mask & STATX_DIOALIGN))
		return false;
	*memory = st.stx_dio_mem_align;
	*offset = st.stx_dio_offset_align;
	return true;
#else
	(void)fd, (void)memory, (void)offset;
	return false;
#endif
}

/*
 * Of a mount and all that is mounted below: no device in it can be opened, and perhaps nothing
 * written. C libraries have mount_setattr() since 2022, the kernel since 5.12.
 */
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
static inline int mount_restrict(const char *path, bool readonly)
{
	enum { RDONLY = 1, NODEV = 4, RECURSIVE = 0x8000 };
	const struct {
		uint64_t set, clear, propagation, users;
	} attr = { .set = readonly ? RDONLY | NODEV : NODEV };

	return syscall(SYS_mount_setattr, AT_FDCWD, path, RECURSIVE, &attr, sizeof(attr));
}

#endif
