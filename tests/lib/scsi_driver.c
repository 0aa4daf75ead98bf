/* SPDX-License-Identifier: MIT */
#include "tests/lib/scsi_driver.h"

#include <string.h>

#include "vmm/core/log.h"
#include "vmm/core/util.h"

#define TIMEOUT_MS 5000
#define CONTROL_QUEUE 0

void scsi_driver_lun(uint8_t field[8], uint8_t target, uint16_t lun)
{
	memset(field, 0, 8);
	field[0] = 1;
	field[1] = target;
	be16_put(field + 2, 0x4000 | lun);
}

void scsi_driver_header(struct virtio_scsi_cmd_req *req, uint16_t lun, uint64_t tag,
			const uint8_t cdb[32])
{
	memset(req, 0, sizeof(*req));
	scsi_driver_lun(req->lun, 0, lun);
	le64_put(&req->tag, tag);
	memcpy(req->cdb, cdb, sizeof(req->cdb));
}

struct scsi_driver_answer scsi_driver_raw(struct vdriver *v, unsigned q, const void *req,
					  size_t req_len, size_t resp_len, const void *out,
					  size_t out_len, void *in, size_t in_len)
{
	struct virtio_scsi_cmd_resp resp;
	const struct iovec o[] = { { (void *)req, req_len }, { (void *)out, out_len } };
	const struct iovec i[] = { { &resp, resp_len }, { in, in_len } };
	struct scsi_driver_answer a = { 0 };

	memset(&resp, 0xcc, sizeof(resp));
	a.used = vdriver_request(v, q, o, out_len ? 2 : 1, i, in_len ? 2 : 1, TIMEOUT_MS);
	a.sense_len = le32_get(&resp.sense_len);
	a.resid = le32_get(&resp.resid);
	a.status = resp.status;
	a.response = resp.response;
	memcpy(a.sense, resp.sense, sizeof(a.sense));
	return a;
}

struct scsi_driver_answer scsi_driver_run(struct vdriver *v, unsigned q, uint16_t lun,
					  const uint8_t cdb[32], const void *out, size_t out_len,
					  void *in, size_t in_len)
{
	struct virtio_scsi_cmd_req req;

	scsi_driver_header(&req, lun, 1, cdb);
	return scsi_driver_raw(v, q, &req, sizeof(req), sizeof(struct virtio_scsi_cmd_resp), out,
			       out_len, in, in_len);
}

int scsi_driver_tmf(struct vdriver *v, uint32_t subtype, uint16_t lun, uint64_t tag)
{
	struct virtio_scsi_ctrl_tmf_req req = { 0 };
	struct virtio_scsi_ctrl_tmf_resp resp = { .response = 0xcc };
	const struct iovec out = { &req, sizeof(req) }, in = { &resp, sizeof(resp) };
	int64_t r;

	le32_put(&req.type, VIRTIO_SCSI_T_TMF);
	le32_put(&req.subtype, subtype);
	scsi_driver_lun(req.lun, 0, lun);
	le64_put(&req.tag, tag);
	r = vdriver_request(v, CONTROL_QUEUE, &out, 1, &in, 1, TIMEOUT_MS);
	BUG_ON(r >= 0 && r != sizeof(resp));
	return r < 0 ? r : resp.response;
}

void scsi_driver_clear_attention(struct vdriver *v, uint16_t lun)
{
	struct scsi_driver_answer a;

	do
		a = scsi_driver_run(v, 2, lun, SCSI_DRIVER_CDB(0x00), NULL, 0, NULL, 0);
	while (a.used >= 0 && a.status == 2);
}

void scsi_driver_rw(uint8_t cdb[32], bool write, uint64_t lba, uint32_t blocks)
{
	memset(cdb, 0, 32);
	cdb[0] = write ? 0x8a : 0x88;
	be64_put(cdb + 2, lba);
	be32_put(cdb + 10, blocks);
}
