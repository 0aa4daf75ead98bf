/* SPDX-License-Identifier: MIT */
#include "vmm/run/matrix/matrix_kept.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/claim.h"
#include "vmm/core/log.h"
#include "vmm/run/matrix/matrix_file.h"
#include "vmm/run/matrix/matrix_html.h"
#include "vmm/run/matrix/matrix_result.h"

/* Is it a folder that files can be made in? An errno. */
static int check_folder(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno;
	if (!S_ISDIR(st.st_mode))
		return ENOTDIR;
	return access(path, W_OK | X_OK) < 0 ? errno : 0;
}

/* What is there of an earlier matrix, or of somebody else, can get in the way of a run. */
static int check_runs(const char *folder, const struct matrix *m)
{
	char *path;
	unsigned i;
	int err = 0;

	for (i = 0; i < m->runs && !err; i++) {
		if (asprintf(&path, "%s/%s", folder, m->run[i].name) < 0)
			return -ENOMEM;
		err = check_folder(path);
		err = err == ENOENT ? 0 : err;
		if (err)
			log_err("--keep: %s: %s", path, strerror(err));
		free(path);
	}
	return -err;
}

static int open_folder(struct matrix_kept *k, struct claims *claims, const char *path,
		       const struct matrix *m)
{
	int err = path ? claim_folder(claims, "--keep", path) : 0;

	if (!path || err)
		return err;
	err = check_folder(path);
	k->folder = err ? NULL : realpath(path, NULL);
	if (k->folder)
		return check_runs(k->folder, m);
	err = err ? err : errno;
	log_err("--keep %s: %s", path, strerror(err));
	return -err;
}

typedef char *make_fn(const struct matrix *, const struct matrix_result *);

static const struct {
	const char *option;
	make_fn *make;
} reports[MATRIX_REPORTS] = {
	[MATRIX_JSON] = { "--json", matrix_json },
	[MATRIX_JUNIT] = { "--junit", matrix_junit },
	[MATRIX_HTML] = { "--html", matrix_html },
};

int matrix_kept_open(struct matrix_kept *k, struct claims *claims,
		     const struct matrix_kept_cfg *cfg, const struct matrix *m)
{
	int err = open_folder(k, claims, cfg->folder, m);
	unsigned i;

	for (i = 0; i < MATRIX_REPORTS && !err; i++) {
		if (cfg->report[i])
			err = report_file_open(&k->report[i], claims, reports[i].option,
					       cfg->report[i]);
	}
	return err;
}

static int write_report(const struct report_file *f, make_fn *make, const struct matrix *m,
			const struct matrix_result *results)
{
	char *text = make(m, results);
	int err = text ? report_file_write(f, text, strlen(text)) : -ENOMEM;

	if (!text)
		log_err("%s: out of memory", f->option);
	free(text);
	return err;
}

int matrix_kept_begin(const struct matrix_kept *k, const struct matrix *m,
		      const struct matrix_result *results)
{
	unsigned i;
	int err = 0;

	for (i = 0; i < MATRIX_REPORTS && !err; i++) {
		if (k->report[i].path && report_file_is_replaced(&k->report[i]))
			err = write_report(&k->report[i], reports[i].make, m, results);
	}
	return err;
}

int matrix_kept_write(const struct matrix_kept *k, const struct matrix *m,
		      const struct matrix_result *results)
{
	int err = 0, one;
	unsigned i;

	for (i = 0; i < MATRIX_REPORTS; i++) {
		if (!k->report[i].path)
			continue;
		one = write_report(&k->report[i], reports[i].make, m, results);
		err = err ? err : one;
	}
	return err;
}

void matrix_kept_close(struct matrix_kept *k)
{
	unsigned i;

	for (i = 0; i < MATRIX_REPORTS; i++)
		report_file_close(&k->report[i]);
	free(k->folder);
}
