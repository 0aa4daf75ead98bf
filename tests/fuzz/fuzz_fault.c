/* SPDX-License-Identifier: MIT */
/* Rules for a store that fails: what is accepted has an effect, and counts what it is shown. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "devices/block/fault_rule.h"
#include "vmm/core/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fault_rules rules = { .block_size = 512 };
	char *text = malloc(len + 1);
	unsigned i;

	BUG_ON(!text);
	memcpy(text, data, len);
	text[len] = 0;
	if (fault_rules_parse(&rules, "fuzz", text) == 0) {
		for (i = 0; i < rules.count; i++) {
			const struct fault_rule *r = &rules.rule[i];

			BUG_ON(!r->verbs || r->first > r->last);
			BUG_ON(!r->effect.err && !r->effect.delay && !r->effect.hang &&
			       !r->effect.lost && !r->effect.cut && !r->effect.torn);
		}
		for (i = 0; i < 64; i++) {
			struct block_req req = { .io = i % 5, .off = i * 512, .len = i % 3 * 512 };

			fault_rules_match(&rules, &req);
		}
		BUG_ON(rules.count && rules.rule[0].seen > 64);
	}
	free(text);
	return 0;
}
