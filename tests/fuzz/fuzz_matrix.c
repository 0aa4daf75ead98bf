/* SPDX-License-Identifier: MIT */
/*
 * The file of a matrix. Whatever is in it, each run has a name, and words that end; and what is
 * refused leaves nothing.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "vmm/core/log.h"
#include "vmm/run/matrix/matrix_file.h"

static void check_run(const struct matrix_run *run)
{
	unsigned i;

	BUG_ON(!run->name || !*run->name || strlen(run->name) > MATRIX_NAME_MAX);
	BUG_ON(run->argc && run->argv[run->argc]);
	for (i = 0; i < run->argc; i++)
		BUG_ON(!run->argv[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = malloc(len + 1);
	struct matrix m;
	unsigned i;

	BUG_ON(!text);
	memcpy(text, data, len);
	text[len] = 0;
	if (matrix_parse(&m, "fuzz", text) == 0) {
		BUG_ON(!m.runs || m.runs > MATRIX_RUNS_MAX);
		for (i = 0; i < m.runs; i++)
			check_run(&m.run[i]);
		matrix_free(&m);
	} else {
		BUG_ON(m.run);
	}
	free(text);
	return 0;
}
