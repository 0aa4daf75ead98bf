/* SPDX-License-Identifier: MIT */
#include "tests/lib/scsi_load.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/core/util.h"

#define BLOCKS 8
#define BYTES 4096
#define TIMEOUT_MS 60000
#define RESPONSE sizeof(struct virtio_scsi_cmd_resp)

void scsi_load_init(struct scsi_load *l, struct vdriver *v, unsigned nluns)
{
	struct testbed *tb = v->tb;
	unsigned i;

	*l = (struct scsi_load){ .v = v };
	for (i = 0; i < SCSI_LOAD_DEPTH; i++)
		l->request[i] = (struct scsi_load_request){
			.cmd = testbed_alloc(tb, sizeof(struct virtio_scsi_cmd_req), 64),
			.data = testbed_alloc(tb, BYTES, BYTES),
			.response = testbed_alloc(tb, RESPONSE, 64),
			.table = testbed_alloc(tb, 3 * 16, 16),
			.number = i,
			.lun = i % nluns,
			.head = -1,
		};
	for (i = 0; i < nluns; i++)
		scsi_driver_clear_attention(v, i);
}

static void send(struct scsi_load *l, unsigned i)
{
	struct scsi_load_request *r = &l->request[i];
	struct vdriver *v = l->v;
	struct mem *mem = &v->tb->mem;
	struct driver_buf buf[3] = { { r->cmd, sizeof(struct virtio_scsi_cmd_req), false } };
	bool indirect = v->accepted & VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC);
	struct virtio_scsi_cmd_req req;
	uint8_t cdb[32], raw[8];

	r->write = !r->write;
	r->number += r->write ? SCSI_LOAD_DEPTH : 0;
	le64_put(raw, r->write ? r->number : 0);
	mem_write(mem, r->data + BYTES - 8, raw, 8);
	scsi_driver_rw(cdb, r->write, i * BLOCKS, BLOCKS);
	scsi_driver_header(&req, r->lun, r->number, cdb);
	mem_write(mem, r->cmd, &req, sizeof(req));
	buf[r->write ? 1 : 2] = (struct driver_buf){ r->data, BYTES, !r->write };
	buf[r->write ? 2 : 1] = (struct driver_buf){ r->response, RESPONSE, true };
	r->head = driver_add(&v->queue[SCSI_LOAD_QUEUE].ring, buf, 3, indirect ? r->table : 0);
	BUG_ON(r->head < 0);
}

void scsi_load_send(struct scsi_load *l, unsigned max)
{
	unsigned i;

	for (i = 0; i < SCSI_LOAD_DEPTH && max; i++) {
		if (l->request[i].head >= 0)
			continue;
		send(l, i);
		l->sent++;
		max--;
	}
	vdriver_kick(l->v, SCSI_LOAD_QUEUE);
}

static void check_answer(struct scsi_load *l, uint16_t head)
{
	struct mem *mem = &l->v->tb->mem;
	struct virtio_scsi_cmd_resp resp;
	struct scsi_load_request *r = l->request;
	uint8_t raw[8];

	while (r->head != head)
		BUG_ON(++r == l->request + SCSI_LOAD_DEPTH);
	mem_read(mem, r->response, &resp, sizeof(resp));
	if (resp.response || resp.status)
		log_err("response %u, status %#x, sense %x/%02x/%02x", resp.response, resp.status,
			resp.sense[2], resp.sense[12], resp.sense[13]);
	BUG_ON(resp.response != VIRTIO_SCSI_S_OK || resp.status);
	mem_read(mem, r->data + BYTES - 8, raw, 8);
	BUG_ON(le64_get(raw) != r->number);
	r->head = -1;
	l->done++;
}

void scsi_load_reap(struct scsi_load *l)
{
	uint16_t head;
	uint32_t len;

	while (driver_used(&l->v->queue[SCSI_LOAD_QUEUE].ring, &head, &len))
		check_answer(l, head);
}

static void wait_for_one(struct scsi_load *l)
{
	uint16_t head;
	uint32_t len;

	BUG_ON(vdriver_wait_used(l->v, SCSI_LOAD_QUEUE, &head, &len, TIMEOUT_MS));
	check_answer(l, head);
	scsi_load_reap(l);
}

void scsi_load_finish(struct scsi_load *l)
{
	while (l->done < l->sent)
		wait_for_one(l);
}

void scsi_load_run(struct scsi_load *l, unsigned count)
{
	unsigned to_send = count, end = l->done + count, before;

	BUG_ON(l->sent != l->done);
	while (l->done < end) {
		before = l->sent;
		scsi_load_send(l, to_send);
		to_send -= l->sent - before;
		wait_for_one(l);
	}
	BUG_ON(to_send || l->sent != l->done);
}

void scsi_load_check_file(const struct scsi_load *l, uint16_t lun, const char *file)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	uint8_t raw[8];
	unsigned i;

	BUG_ON(fd < 0);
	for (i = 0; i < SCSI_LOAD_DEPTH; i++) {
		if (l->request[i].lun != lun)
			continue;
		BUG_ON(pread(fd, raw, 8, (i + 1) * BYTES - 8) != 8);
		BUG_ON(le64_get(raw) != l->request[i].number);
	}
	close(fd);
}
