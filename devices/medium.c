/* SPDX-License-Identifier: MIT */
#include "devices/medium.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/block/copy.h"
#include "devices/block/fault.h"
#include "devices/devices.h"
#include "vmm/core/claim.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/platform.h"

const char *const medium_block_words[] = { "512", "4096", NULL };
const uint32_t medium_block_sizes[] = { 512, 4096 };
const char *const medium_physical_words[] = { "auto", "512", "4096", NULL };
const uint32_t medium_physical_sizes[] = { 0, 512, 4096 };
const char *const medium_engine_words[] = {
	[BLOCK_ENGINE_AUTO] = "auto", [BLOCK_ENGINE_URING] = "uring",
	[BLOCK_ENGINE_THREADS] = "threads", NULL
};
const char *const medium_backing_words[] = { "near", "any", NULL };

static int check_size(const struct block *block, uint32_t block_size)
{
	uint64_t rest = block->size % block_size, up = block->size - rest + block_size;

	if (!rest)
		return 0;
	log_err("%s: its size, %llu bytes, is not a multiple of the block size, %u; "
		"%llu would be: 'truncate -s %llu FILE'",
		block->path, (unsigned long long)block->size, block_size, (unsigned long long)up,
		(unsigned long long)up);
	return -EDOM;
}

static void on_full(void *platform)
{
	struct platform *p = platform;

	p->disk_full(p);
}

static void on_hang(void *platform)
{
	struct platform *p = platform;

	p->disk_hangs(p);
}

/* What the kernel's target does is to report. */
static void set_full(struct block *block, struct platform *p, enum full_policy what)
{
	block->full = what == FULL_AS_RUN ? p->on_enospc : what;
	block->on_full = p->disk_full ? on_full : NULL;
	block->on_hang = p->disk_hangs ? on_hang : NULL;
	block->on_full_arg = block->on_hang_arg = p;
	if (block->full != FULL_REPORT && block->fd) {
		block->fd = 0;
		block->ours = "on-enospc= is not report";
	}
}

int medium_open(const struct medium *m, const char *file, struct block **block)
{
	struct block_open how = m->how;
	int r;

	how.path = file;
	r = block_open(&how, block);
	if (r < 0)
		return r;
	set_full(*block, m->platform, m->on_enospc);
	r = check_size(*block, how.block_size);
	if (r < 0)
		block_close(*block);
	return r;
}

static enum block_overlay choose_overlay(const struct medium_cfg *cfg, const struct platform *p)
{
	enum overlay_policy policy = cfg->overlay;

	if (policy == OVERLAY_AUTO) /* and the store keeps what is written */
		policy = p->overlay && !cfg->readonly &&
			 !strcmp(cfg->store, block_stores[0]->name) ? OVERLAY_ON : OVERLAY_OFF;
	if (policy == OVERLAY_ON && !p->commit)
		return BLOCK_OVERLAY_DROP;
	return policy == OVERLAY_OFF ? BLOCK_OVERLAY_NONE : BLOCK_OVERLAY_COMMIT;
}

bool medium_changes_vanish(const struct medium *m)
{
	return m->block && m->how.overlay != BLOCK_OVERLAY_NONE;
}

/* What would be left of it after a bad run is none of the run's other files. */
static int claim_kept(struct medium *m, const char *id)
{
	char *path, *what = NULL;
	int r = -ENOMEM;

	if (!m->platform->keep || !medium_changes_vanish(m))
		return 0;
	if (asprintf(&path, "%s/%s.img", m->platform->keep, id) < 0)
		return -ENOMEM;
	if (asprintf(&what, "--keep-on-fail: %s", path) >= 0)
		r = claim_name(m->platform->claims, what, path, &m->kept);
	free(what);
	free(path);
	return r;
}

/* With what goes past the page cache io_uring is given all of the guest's memory, for good. */
static int check_pins(struct platform *p, const char *id, const struct medium_cfg *cfg)
{
	bool pins = cfg->direct && cfg->engine != BLOCK_ENGINE_THREADS;

	if (pins && p->balloon) {
		log_err("%s: direct=on has the kernel keep all of the guest's memory, and the "
			"guest has a balloon, by which it gives some back; give it io=threads, or "
			"leave direct=on or the balloon out", id);
		return -EUSAGE;
	}
	if (pins)
		p->pins = "a disk with direct=on";
	return 0;
}

int medium_init(struct medium *m, struct platform *p, const char *id,
		const struct medium_cfg *cfg, uint32_t block_size, const char *option,
		bool may_be_empty)
{
	int r = check_pins(p, id, cfg);

	*m = (struct medium){ .platform = p, .on_enospc = cfg->on_enospc };
	if (r < 0)
		return r;
	m->how = (struct block_open){ .store = cfg->store, .size = cfg->size,
				      .readonly = cfg->readonly,
				      .format = cfg->format,
				      .backing_anywhere = cfg->backing, .block_size = block_size,
				      .engine = cfg->engine, .direct = cfg->direct, .mem = p->mem,
				      .claims = p->claims, .option = option,
				      .overlay = choose_overlay(cfg, p), .fault = cfg->fault };
	p->overlays += m->how.overlay != BLOCK_OVERLAY_NONE;
	if (!cfg->file && may_be_empty)
		return 0;
	if (!cfg->file && !strcmp(cfg->store, block_stores[0]->name)) {
		log_err("%s: file= is missing: which image?", id);
		return -EUSAGE;
	}
	r = medium_open(m, cfg->file, &m->block);
	if (r < 0) {
		m->block = NULL;
		return r;
	}
	r = claim_kept(m, id);
	if (r < 0)
		medium_fini(m);
	return r;
}

void medium_fini(struct medium *m)
{
	claim_drop(m->kept);
	block_close(m->block);
	m->kept = NULL;
	m->block = NULL;
}

int medium_fault(struct medium *m, const char *rules)
{
	struct block *block;
	int r;

	if (m->block->ops == &block_fault)
		return fault_set(m->block, rules);
	if (!*rules)
		return 0;
	r = fault_insert(m->block, m->how.block_size, rules, &block);
	if (!r)
		m->block = block;
	return r;
}

int medium_finish(struct medium *m)
{
	return m->block ? block_commit(m->block) : 0;
}

int medium_keep(struct medium *m, const char *id, int folder)
{
	char name[DEVICE_ID_MAX + 8], path[sizeof(name) + 32], what[sizeof(name) + 32];
	struct claim *claim = NULL;
	int fd, r;

	snprintf(name, sizeof(name), "%s.img", id);
	snprintf(what, sizeof(what), "--keep-on-fail: %s", name);
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", folder, name);
	claim_drop(m->kept);
	m->kept = NULL;
	fd = claim_open(m->platform->claims, what, path, CLAIM_REGULAR | CLAIM_HERE, &claim);
	if (fd < 0)
		return fd;
	r = block_copy(m->block, fd);
	claim_drop(claim);
	if (r < 0)
		log_err("--keep-on-fail: %s: %s is not kept: %s", m->block->path, name,
			strerror(-r));
	else
		log_warn("--keep-on-fail: %s, as the guest has left it, is %s", m->block->path,
			 name);
	return r;
}

void medium_facts(const struct medium *m, struct device_facts *to)
{
	if (!m->block)
		return;
	to->text(to, "file", m->block->path);
	to->number(to, "size", m->block->size);
	to->text(to, "access", m->block->readonly ? "ro" : "rw");
}

void medium_counters(const struct block_counters *c, struct device_facts *to)
{
	to->number(to, "commands", c->commands);
	to->number(to, "errors", c->errors);
	to->number(to, "reads", c->reads);
	to->number(to, "writes", c->writes);
	to->number(to, "read", c->read);
	to->number(to, "written", c->written);
	to->number(to, "unmapped", c->unmapped);
	to->number(to, "flushes", c->flushes);
	to->number(to, "resets", c->resets);
	to->numbers(to, "latency", c->latency, BLOCK_LATENCIES);
}
