/* SPDX-License-Identifier: MIT */
/*
 * medium.h - what a disk of any kind holds: a store, what becomes of changes, and
 * what is done when the host's disk is full or hangs.
 *
 * A class of disks has a struct medium in its device and a struct medium_cfg in its
 * settings, whose option rows are below. Which requests there are, and who may send
 * them, is the class's business. All functions are the main thread's, and before
 * the guest runs.
 */
#ifndef DEVICES_MEDIUM_H
#define DEVICES_MEDIUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/block/block.h"
#include "devices/block/count.h"
#include "vmm/core/opt.h"
#include "vmm/core/policy.h"

struct claim;
struct device_facts;
struct platform;

struct medium_cfg {
	const char *file, *store, *fault;
	uint64_t size; /* bytes, of a null store */
	unsigned engine, backing; /* numbers of the words below */
	unsigned format;         /* enum block_format */
	unsigned on_enospc;      /* enum full_policy */
	unsigned overlay;        /* enum overlay_policy */
	bool readonly, direct;
};

extern const char *const medium_engine_words[], *const medium_backing_words[];
extern const char *const medium_block_words[], *const medium_physical_words[];
extern const uint32_t medium_block_sizes[], medium_physical_sizes[]; /* their bytes; 0: auto */

/* Rows for what a class does with it: two numbers of words. */
#define MEDIUM_BLOCK_OPTS(settings, block, physical)                                         \
	{ .key = "block-size", .type = OPT_ENUM, .offset = offsetof(settings, block),        \
	  .def = "512", .words = medium_block_words, .help = "bytes of a logical block" },   \
	{ .key = "physical-block", .type = OPT_ENUM, .offset = offsetof(settings, physical), \
	  .def = "auto", .words = medium_physical_words,                                     \
	  .help = "bytes of a physical block; auto is as the store has it" }

/* Rows for a struct of @settings with a struct medium_cfg @member; "file" has words of its own. */
#define MEDIUM_FORMAT_OPT(settings, member)                                                  \
	{ .key = "format", .type = OPT_ENUM, .offset = offsetof(settings, member.format),    \
	  .def = "auto", .words = block_format_words,                                        \
	  .help = "auto is what name and first bytes say, or raw; raw takes any file as it is" }, \
	{ .key = "backing", .type = OPT_ENUM, .offset = offsetof(settings, member.backing),  \
	  .def = "near", .words = medium_backing_words,                                      \
	  .help = "of qcow2: its backing files are in its own folder, or anywhere" }

#define MEDIUM_IO_OPTS(settings, member)                                                     \
	{ .key = "io", .type = OPT_ENUM, .offset = offsetof(settings, member.engine),        \
	  .def = "auto", .words = medium_engine_words,                                       \
	  .help = "how a file is read and written; auto is io_uring, or threads where it is " \
		  "not" },                                                                   \
	{ .key = "direct", .type = OPT_BOOL, .offset = offsetof(settings, member.direct),    \
	  .def = "off", .help = "past the host's page cache (O_DIRECT)" }

#define MEDIUM_OPTS(settings, member)                                                        \
	MEDIUM_FORMAT_OPT(settings, member),                                                 \
	{ .key = "readonly", .type = OPT_BOOL, .offset = offsetof(settings, member.readonly), \
	  .def = "off", .help = "write-protected; several may share the image then" },       \
	{ .key = "store", .type = OPT_STR, .offset = offsetof(settings, member.store),       \
	  .def = "file", .arg = "KIND",                                                      \
	  .help = "file, or null, which drops writes and reads zeroes" },                    \
	{ .key = "size", .type = OPT_SIZE, .offset = offsetof(settings, member.size),        \
	  .min = 4096, .max = 1ull << 62, .arg = "BYTES", .help = "of a null store" },       \
	MEDIUM_IO_OPTS(settings, member),                                                    \
	{ .key = "overlay", .type = OPT_ENUM, .offset = offsetof(settings, member.overlay),  \
	  .def = "as-run", .words = overlay_words_of_disks,                                  \
	  .help = "changes are kept in a file in $TMPDIR; on: they vanish, and several may " \
		  "share the image; commit, or run --commit: they are written to it after "  \
		  "a good run" },                                                            \
	{ .key = "fault", .type = OPT_STR, .offset = offsetof(settings, member.fault),       \
	  .arg = "RULES", .may_be_empty = true,                                              \
	  .help = "fail as told, for tests: write:lba=0-7:after=1:times=1:error=EIO+..." },  \
	{ .key = "on-enospc", .type = OPT_ENUM, .offset = offsetof(settings, member.on_enospc), \
	  .def = "as-run", .words = full_words_of_disks,                                     \
	  .help = "when the host's disk is full: tell the guest, wait for room, end the run" }

struct medium {
	struct platform *platform;
	struct block *block;   /* NULL: there is none in it */
	struct block_open how; /* for each one, but for the path; strings are the device's */
	unsigned on_enospc;    /* enum full_policy, likewise */
	struct claim *kept;    /* the file that --keep-on-fail would make of it; NULL: none */
};

/*
 * Opens what the settings say; without a file nothing is in it, if @may_be_empty. @id: the
 * device's; @block_size in bytes; @option: by which users give it. -errno after one line, and
 * nothing is left then; -EUSAGE: the settings make no sense.
 */
int medium_init(struct medium *m, struct platform *p, const char *id,
		const struct medium_cfg *cfg, uint32_t block_size, const char *option,
		bool may_be_empty);
/* Nobody does I/O on it any more. All zero is all right. */
void medium_fini(struct medium *m);

/* Another one, which is not in it yet. -errno after one line. */
int medium_open(const struct medium *m, const char *file, struct block **block);

/*
 * Rules by which it fails; "": it does not. With the first ones its store is another, which the
 * class has its threads look for. There is one in it. -errno after one line, but for -ENOMEM.
 */
int medium_fault(struct medium *m, const char *rules);

/* What is to be kept of it is kept; nobody does I/O any more. -errno after one line. */
int medium_finish(struct medium *m);
/*
 * Where changes are kept apart: what the guest sees of it becomes the file @id.img in @folder,
 * which is open. Nobody does I/O any more. -errno after one line.
 */
int medium_keep(struct medium *m, const char *id, int folder);
/* Are changes kept apart? */
bool medium_changes_vanish(const struct medium *m);

/* File, size, access; none of an empty one. */
void medium_facts(const struct medium *m, struct device_facts *to);
/* What has been done to it. */
void medium_counters(const struct block_counters *c, struct device_facts *to);

#endif
