/* SPDX-License-Identifier: MIT */
/*
 * fault_rule.h - the rules of fault.h as data.
 */
#ifndef DEVICES_BLOCK_FAULT_RULE_H
#define DEVICES_BLOCK_FAULT_RULE_H

#include "devices/block/block.h"

#define FAULT_RULES 16

struct fault_effect {
	int err; /* 0, -errno or told */
	unsigned delay; /* ms */
	bool hang, lost, cut, torn;
	bool done; /* all the same, before it fails */
	uint64_t torn_at; /* bytes */
};

struct fault_rule {
	unsigned verbs;       /* bits of enum block_io */
	uint64_t first, last; /* blocks */
	uint64_t after, times;
	struct fault_effect effect;
	uint64_t seen; /* requests that have matched */
};

struct fault_rules {
	uint32_t block_size;
	unsigned count;
	struct fault_rule rule[FAULT_RULES];
};

/* Sets all but the block size. -EUSAGE after one line that begins with @who. */
int fault_rules_parse(struct fault_rules *rules, const char *who, const char *text);

/* What is to happen to a request; all zero: nothing. Counts it. */
struct fault_effect fault_rules_match(struct fault_rules *rules, const struct block_req *req);

#endif
