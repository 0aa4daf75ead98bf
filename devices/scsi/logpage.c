/* SPDX-License-Identifier: MIT */
#include "devices/scsi/op.h"
#include "vmm/core/util.h"

#define LOG_MAX 64 /* bytes of a page */
#define LOG_ALL_SUBPAGES 0xff

struct log_page {
	uint8_t code, subpage;
	/* Writes the page from its byte 4 on, over zeroes. Returns how much. */
	size_t (*put)(uint8_t *to);
};

static size_t put_supported(uint8_t *to);
static size_t put_supported_subpages(uint8_t *to);

/* Informational exceptions, general: none. SPC-4 7.3 */
static size_t put_exceptions(uint8_t *to)
{
	to[2] = 0x03; /* a binary list, not to be saved */
	to[3] = 0x04;
	return 8;
}

static const struct log_page pages[] = {
	{ 0x00, 0x00, put_supported },
	{ 0x00, LOG_ALL_SUBPAGES, put_supported_subpages },
	{ 0x2f, 0x00, put_exceptions },
};

static size_t put_supported(uint8_t *to)
{
	size_t i, len = 0;

	for (i = 0; i < ARRAY_SIZE(pages); i++)
		if (!pages[i].subpage)
			to[len++] = pages[i].code;
	return len;
}

static size_t put_supported_subpages(uint8_t *to)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		to[2 * i] = pages[i].code;
		to[2 * i + 1] = pages[i].subpage;
	}
	return 2 * i;
}

/* SPC-4 6.8. There are no thresholds, so whichever values are asked for are the same. */
enum scsi_sense log_sense(struct scsi_cmd *cmd)
{
	uint8_t code = cmd->cdb[2] & 0x3f, subpage = cmd->cdb[3], data[LOG_MAX] = { 0 };
	size_t i, len;

	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		if (pages[i].code != code || pages[i].subpage != subpage)
			continue;
		len = pages[i].put(data + 4);
		data[0] = code | (subpage ? 0x40 : 0); /* SPF */
		data[1] = subpage;
		be16_put(data + 2, (uint16_t)len);
		return scsi_reply(cmd, data, 4 + len, be16_get(cmd->cdb + 7));
	}
	for (i = 0; i < ARRAY_SIZE(pages) && pages[i].code != code; i++)
		;
	return scsi_bad_cdb(cmd, i == ARRAY_SIZE(pages) ? 2 : 3, i == ARRAY_SIZE(pages) ? 5 : 7);
}
