/* SPDX-License-Identifier: MIT */
/* The option parser: what it accepts is within bounds, and it stays inside of the text. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "vmm/core/log.h"
#include "vmm/core/opt.h"
#include "vmm/core/util.h"

struct settings {
	const char *text;
	uint32_t number;
	uint64_t size;
	bool flag;
	unsigned word;
	struct opt_list list;
};

static const char *const words[] = { "one", "two", "three", NULL };

#define ROW(k, t, member) .key = k, .type = t, .offset = offsetof(struct settings, member)

static const struct opt table[] = {
	{ ROW("text", OPT_STR, text) },
	{ ROW("number", OPT_U32, number), .def = "5", .min = 3, .max = 1000 },
	{ ROW("size", OPT_SIZE, size), .def = "1M", .min = 4096, .max = GIB(1) << 12 },
	{ ROW("flag", OPT_BOOL, flag), .def = "on" },
	{ ROW("word", OPT_ENUM, word), .def = "two", .words = words },
	{ ROW("list", OPT_LIST, list) },
	{ 0 },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = malloc(len + 1);
	struct settings s = { 0 };
	unsigned i;

	BUG_ON(!text);
	memcpy(text, data, len);
	text[len] = 0;
	if (opt_parse(table, &s, "--fuzz", "text", text) == 0) {
		BUG_ON(s.number < 3 || s.number > 1000);
		BUG_ON(s.size < 4096 || s.size > GIB(1) << 12);
		BUG_ON(s.word > 2);
		BUG_ON(s.text && (s.text < text || s.text + strlen(s.text) > text + len));
		for (i = 0; i < s.list.count; i++)
			BUG_ON(s.list.item[i] < text || s.list.item[i] > text + len);
	}
	opt_free(table, &s);
	free(text);
	return 0;
}
