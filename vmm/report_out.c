#include "vmm/report_out.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/report.h"

static int write_json(const struct report_file *f, struct report *r, bool finished)
{
	char *text = report_json(r, finished);
	size_t len;
	int err;

	if (!text)
		return -ENOMEM;
	len = strlen(text);
	text[len] = '\n'; /* in the place of the final zero */
	err = report_file_write(f, text, len + 1);
	free(text);
	return err;
}

int report_out_open(struct report_out *out, const struct report_cfg *cfg, struct report *r)
{
	int err = 0;

	*out = (struct report_out){ .json.fd = -1 };
	if (cfg->json)
		err = report_file_open(&out->json, "--json", cfg->json);
	if (!err && cfg->json && report_file_is_replaced(&out->json))
		err = write_json(&out->json, r, false);
	if (err)
		report_out_close(out);
	return err;
}

int report_out_write(const struct report_out *out, struct report *r)
{
	return out->json.path ? write_json(&out->json, r, true) : 0;
}

void report_out_close(struct report_out *out)
{
	report_file_close(&out->json);
}
