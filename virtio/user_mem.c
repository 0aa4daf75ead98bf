/* SPDX-License-Identifier: MIT */
#include "virtio/user_mem.h"

#include <errno.h>
#include <string.h>

#include "virtio/user_call.h"
#include "virtio/wire_user.h"
#include "vmm/core/log.h"
#include "vmm/core/mem.h"

int user_mem_greet(struct vhost_user *u)
{
	uint64_t slots = USER_REGIONS_MAX;
	int r = user_has(u, USER_P_SLOTS) ? user_get_u64(u, USER_GET_MAX_MEM_SLOTS, &slots) : 0;

	u->told.count = 0;
	if (r < 0)
		return r;
	if (slots < u->spec.mem->nregions)
		return vhost_user_fail(u, -EPROTO, "has room for %llu regions of guest memory; "
				       "this guest has %u", (unsigned long long)slots,
				       u->spec.mem->nregions);
	return 0;
}

static bool has(const struct user_memory *m, const struct user_region *r)
{
	unsigned i;

	for (i = 0; i < m->count; i++) {
		if (!memcmp(&m->region[i], r, sizeof(*r)))
			return true;
	}
	return false;
}

static int tell_slot(struct vhost_user *u, uint32_t request, const struct user_region *r,
		     const int *fd)
{
	const struct user_slot slot = { .region = *r };

	return user_ask(u, &(struct user_ask){ .request = request, .out = &slot,
					       .out_len = sizeof(slot), .fds = fd,
					       .nfds = fd ? 1 : 0 });
}

/* What has gone goes first, so that it has room for what is new. */
static int tell_changes(struct vhost_user *u, const struct user_memory *now, const int *fds)
{
	unsigned i;
	int r = 0;

	for (i = 0; !r && i < u->told.count; i++) {
		if (!has(now, &u->told.region[i]))
			r = tell_slot(u, USER_REM_MEM_REG, &u->told.region[i], NULL);
	}
	for (i = 0; !r && i < now->count; i++) {
		if (!has(&u->told, &now->region[i]))
			r = tell_slot(u, USER_ADD_MEM_REG, &now->region[i], &fds[i]);
	}
	if (!r)
		u->told = *now;
	return r;
}

int user_mem_tell(struct vhost_user *u, const struct mem *mem)
{
	struct user_memory m = { .count = mem->nregions };
	int fds[MEM_REGIONS];
	unsigned i;

	for (i = 0; i < mem->nregions; i++) {
		const struct mem_region *r = &mem->region[i];

		BUG_ON(r->fd < 0);
		m.region[i] = (struct user_region){ .gpa = r->gpa, .size = r->size,
						    .address = (uintptr_t)r->hva,
						    .offset = r->fd_off };
		fds[i] = r->fd;
	}
	if (user_has(u, USER_P_SLOTS))
		return tell_changes(u, &m, fds);
	return user_ask(u, &(struct user_ask){ .request = USER_SET_MEM_TABLE, .out = &m,
		.out_len = offsetof(struct user_memory, region) + i * sizeof(m.region[0]),
		.fds = fds, .nfds = i });
}
