/* SPDX-License-Identifier: MIT */
#include "vmm/run/report/report_out.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/log.h"
#include "vmm/run/report/junit.h"
#include "vmm/run/report/report.h"

static const struct {
	const char *option;
	size_t cfg; /* where its file's name is, in struct report_cfg */
	char *(*text)(struct report *r, bool finished);
} kinds[REPORT_FILES] = {
	{ "--json", offsetof(struct report_cfg, json), report_json },
	{ "--junit", offsetof(struct report_cfg, junit), junit_text },
};

static int put(const struct report_out *out, unsigned kind, struct report *r, bool finished)
{
	char *text = kinds[kind].text(r, finished);
	int err = -ENOMEM;

	if (text)
		err = report_file_write(&out->file[kind], text, strlen(text));
	else
		log_err("%s: out of memory", kinds[kind].option);
	free(text);
	return err;
}

/* One that is new can hurt nobody, and says at once that there is no result yet. */
static int open_file(struct report_out *out, unsigned kind, const char *path,
		     struct claims *claims, struct report *r)
{
	int err = report_file_open(&out->file[kind], claims, kinds[kind].option, path);

	if (!err && report_listen(r) < 0) {
		log_err("%s: out of memory", kinds[kind].option);
		err = -ENOMEM;
	}
	if (!err && !out->dry && report_file_is_new(&out->file[kind]))
		err = put(out, kind, r, false);
	return err;
}

int report_out_open(struct report_out *out, const struct report_cfg *cfg, struct claims *claims,
		    struct report *r)
{
	const char *path;
	unsigned i;
	int err = 0;

	out->dry = cfg->dry;
	for (i = 0; i < REPORT_FILES; i++)
		out->file[i] = (struct report_file){ .fd = -1 };
	for (i = 0; i < REPORT_FILES && !err; i++) {
		path = *(const char *const *)((const char *)cfg + kinds[i].cfg);
		if (path)
			err = open_file(out, i, path, claims, r);
	}
	if (err)
		report_out_close(out);
	return err;
}

int report_out_begin(const struct report_out *out, struct report *r)
{
	unsigned i;
	int err = 0;

	for (i = 0; i < REPORT_FILES && !err; i++) {
		if (out->file[i].path && report_file_is_replaced(&out->file[i]))
			err = put(out, i, r, false);
	}
	return err;
}

int report_out_write(const struct report_out *out, struct report *r)
{
	int result = 0, err;
	unsigned i;

	report_end_streams(r);
	for (i = 0; i < REPORT_FILES; i++) {
		err = out->file[i].path && !out->dry ? put(out, i, r, true) : 0;
		result = result ? result : err;
	}
	return result;
}

void report_out_close(struct report_out *out)
{
	unsigned i;

	for (i = 0; i < REPORT_FILES; i++)
		report_file_close(&out->file[i]);
}
