/* SPDX-License-Identifier: MIT */
#include "tests/lib/scsi_examples.h"

#include "vmm/core/log.h"
#include "vmm/core/util.h"

#define DATA_MAX 1024

#define PR_OUT(action) { .cdb = { 0x5f, action, [8] = 24 }, .out_len = 24, .out = { [15] = 1 } }

static const struct scsi_example examples[] = {
	{ .cdb = { 0x00 } },
	{ .cdb = { 0x03, [4] = 18 }, .in_len = 18 },
	{ .cdb = { 0x12, [4] = 96 }, .in_len = 96 },
	{ .cdb = { 0x15, 0x10, [4] = 24 }, .out_len = 24, .out = { [4] = 0x08, 0x12 } },
	{ .cdb = { 0x16 } },
	{ .cdb = { 0x17 } },
	{ .cdb = { 0x1a, 0, 0x3f, 0, 255 }, .in_len = 255 },
	{ .cdb = { 0x1d, 0x04 } },
	{ .cdb = { 0x1e, [4] = 1 } },
	{ .cdb = { 0x4d, [8] = 64 }, .in_len = 64 },
	{ .cdb = { 0x55, 0x10, [8] = 28 }, .out_len = 28, .out = { [8] = 0x08, 0x12 } },
	{ .cdb = { 0x56 } },
	{ .cdb = { 0x57 } },
	{ .cdb = { 0x5a, 0, 0x3f, [8] = 255 }, .in_len = 255 },
	{ .cdb = { 0x5e, 0x00, [8] = 64 }, .in_len = 64 },
	{ .cdb = { 0x5e, 0x01, [8] = 64 }, .in_len = 64 },
	{ .cdb = { 0x5e, 0x02, [8] = 64 }, .in_len = 64 },
	{ .cdb = { 0x5e, 0x03, [8] = 64 }, .in_len = 64 },
	PR_OUT(0x00), PR_OUT(0x01), PR_OUT(0x02), PR_OUT(0x03),
	PR_OUT(0x04), PR_OUT(0x05), PR_OUT(0x06), PR_OUT(0x07),
	{ .cdb = { 0xa0, [9] = 64 }, .in_len = 64 },
	{ .cdb = { 0xa3, 0x0a, [9] = 64 }, .in_len = 64 },
	{ .cdb = { 0xa3, 0x0c, [8] = 4 }, .in_len = 1024 },
	{ .cdb = { 0xa3, 0x0d, [9] = 16 }, .in_len = 16 },

	{ .cdb = { 0x08, [4] = 2 }, .in_len = 1024 },
	{ .cdb = { 0x0a, [4] = 2 }, .out_len = 1024 },
	{ .cdb = { 0x1b } }, /* stop */
	{ .cdb = { 0x25 }, .in_len = 8 },
	{ .cdb = { 0x28, [8] = 2 }, .in_len = 1024 },
	{ .cdb = { 0x2a, [8] = 2 }, .out_len = 1024 },
	{ .cdb = { 0x2e, [8] = 2 }, .out_len = 1024 },
	{ .cdb = { 0x2f, [8] = 2 } },
	{ .cdb = { 0x34, [8] = 2 } },
	{ .cdb = { 0x35 } },
	{ .cdb = { 0x37, 0, 0x18, [8] = 4 }, .in_len = 4 },
	{ .cdb = { 0x41, [8] = 2 }, .out_len = 512 },
	{ .cdb = { 0x42, [8] = 24 }, .out_len = 24, .out = { 0, 22, 0, 16, [19] = 2 } },
	{ .cdb = { 0x88, [13] = 2 }, .in_len = 1024 },
	{ .cdb = { 0x89, [13] = 1 }, .out_len = 1024 },
	{ .cdb = { 0x8a, [13] = 2 }, .out_len = 1024 },
	{ .cdb = { 0x8b, [13] = 2 }, .out_len = 1024 },
	{ .cdb = { 0x8e, [13] = 2 }, .out_len = 1024 },
	{ .cdb = { 0x8f, [13] = 2 } },
	{ .cdb = { 0x90, [13] = 2 } },
	{ .cdb = { 0x91 } },
	{ .cdb = { 0x93, [13] = 2 }, .out_len = 512 },
	{ .cdb = { 0x9c, [13] = 2 }, .out_len = 1024 },
	{ .cdb = { 0x9e, 0x10, [13] = 32 }, .in_len = 32 },
	{ .cdb = { 0x9e, 0x12, [13] = 24 }, .in_len = 24 },
	{ .cdb = { 0xa8, [9] = 2 }, .in_len = 1024 },
	{ .cdb = { 0xaa, [9] = 2 }, .out_len = 1024 },
	{ .cdb = { 0xae, [9] = 2 }, .out_len = 1024 },
	{ .cdb = { 0xaf, [9] = 2 } },
	{ .cdb = { 0xb7, 0x18, [9] = 8 }, .in_len = 8 },

	{ .cdb = { 0x43, [8] = 20 }, .in_len = 20 },
	{ .cdb = { 0x46, [8] = 64 }, .in_len = 64 },
	{ .cdb = { 0x4a, 0x01, [4] = 0x10, [8] = 8 }, .in_len = 8 },
	{ .cdb = { 0x51, [8] = 34 }, .in_len = 34 },
	{ .cdb = { 0x52, 0x01, [5] = 1, [8] = 36 }, .in_len = 36 },
	{ .cdb = { 0xbd, [9] = 8 }, .in_len = 8 },
};

const struct scsi_example *scsi_example(const struct scsi_op *op)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(examples); i++)
		if (examples[i].cdb[0] == op->opcode &&
		    (!op->has_action || (examples[i].cdb[1] & 0x1f) == op->action))
			return &examples[i];
	return NULL;
}

static uint8_t out[DATA_MAX], in[4 * DATA_MAX];

static const struct scsi_example *prepare(const struct scsi_op *op)
{
	const struct scsi_example *example = scsi_example(op);

	if (!example)
		log_err("%s has no example", op->name);
	BUG_ON(!example || example->out_len > DATA_MAX);
	memset(out, 0, sizeof(out));
	memcpy(out, example->out, sizeof(example->out));
	return example;
}

/* Blocks are larger on some LUNs, so there is always room to read them. */
static size_t in_len(const struct scsi_example *example)
{
	return example->in_len ? sizeof(in) : 0;
}

uint32_t scsi_example_run_with(struct scsi_rig *rig, const struct scsi_op *op, unsigned byte,
			       uint8_t bits)
{
	struct scsi_example e = *prepare(op);

	e.cdb[byte] |= bits;
	return scsi_run(rig, e.cdb, out, e.out_len, in, in_len(&e));
}

uint32_t scsi_example_run(struct scsi_rig *rig, const struct scsi_op *op)
{
	return scsi_example_run_with(rig, op, 0, 0);
}

void scsi_example_start(struct scsi_flight *flight, struct scsi_rig *rig, const struct scsi_op *op)
{
	const struct scsi_example *e = prepare(op);

	flight_start(flight, rig, e->cdb, out, e->out_len, in, in_len(e));
}
