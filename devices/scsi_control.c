/* SPDX-License-Identifier: MIT */
#include "devices/scsi_control.h"

#include <assert.h>
#include <linux/virtio_scsi.h>
#include <string.h>

#include "devices/scsi/scsi.h"
#include "virtio/virtio.h"
#include "vmm/core/iov.h"
#include "vmm/core/util.h"

/* For every queue. */

bool scsi_address_decode(const uint8_t lun[8], uint8_t *target, uint8_t lun_field[8])
{
	if (lun[0] == 0xc1) {
		*target = 0;
		memcpy(lun_field, lun, 8);
		return lun[1] == 0x01;
	}
	*target = lun[1];
	memcpy(lun_field, lun + 2, 6);
	lun_field[6] = lun_field[7] = 0;
	return lun[0] == 1;
}

/* The control queue. */

struct request {
	struct scsi_control *control;
	uint8_t sent[sizeof(struct virtio_scsi_ctrl_tmf_req)];
	uint8_t answer[sizeof(struct virtio_scsi_ctrl_an_resp)];
};

#define SAME(name) static_assert((int)SCSI_##name == VIRTIO_SCSI_T_TMF_##name, #name)
SAME(ABORT_TASK);
SAME(ABORT_TASK_SET);
SAME(CLEAR_ACA);
SAME(CLEAR_TASK_SET);
SAME(I_T_NEXUS_RESET);
SAME(LOGICAL_UNIT_RESET);
SAME(QUERY_TASK);
SAME(QUERY_TASK_SET);
#undef SAME

static const uint8_t tmf_codes[] = {
	[SCSI_TMF_COMPLETE] = VIRTIO_SCSI_S_OK, /* FUNCTION COMPLETE */
	[SCSI_TMF_SUCCEEDED] = VIRTIO_SCSI_S_FUNCTION_SUCCEEDED,
	[SCSI_TMF_REJECTED] = VIRTIO_SCSI_S_FUNCTION_REJECTED,
	[SCSI_TMF_INCORRECT_LUN] = VIRTIO_SCSI_S_INCORRECT_LUN,
	[SCSI_TMF_BAD_TARGET] = VIRTIO_SCSI_S_BAD_TARGET,
	[SCSI_TMF_FAILURE] = VIRTIO_SCSI_S_TARGET_FAILURE,
};

static uint8_t manage(struct scsi_control *c, const struct scsi_tmf_request *tmf)
{
	int r = c->ops->tmf(c->arg, tmf);

	return r < 0 ? VIRTIO_SCSI_S_FAILURE : tmf_codes[r];
}

static void run_tmf(struct request *r)
{
	const uint8_t *sent = r->sent;
	uint8_t *response = r->answer + offsetof(struct virtio_scsi_ctrl_tmf_resp, response);
	struct scsi_tmf_request tmf = {
		.tag = le64_get(sent + offsetof(struct virtio_scsi_ctrl_tmf_req, tag)),
		.what = le32_get(sent + offsetof(struct virtio_scsi_ctrl_tmf_req, subtype)),
	};

	if (scsi_address_decode(sent + offsetof(struct virtio_scsi_ctrl_tmf_req, lun), &tmf.target,
				tmf.lun_field))
		*response = manage(r->control, &tmf);
	else
		*response = VIRTIO_SCSI_S_BAD_TARGET;
}

/* Asynchronous notifications are for media that come and go: of those asked for we have none. */
static void run_an(struct request *r)
{
	const struct scsi_control *c = r->control;
	uint8_t target, lun_field[8];
	bool ours = scsi_address_decode(r->sent + offsetof(struct virtio_scsi_ctrl_an_req, lun),
					&target, lun_field) && c->ops->has_target(c->arg, target);

	r->answer[offsetof(struct virtio_scsi_ctrl_an_resp, response)] =
		ours ? VIRTIO_SCSI_S_OK : VIRTIO_SCSI_S_BAD_TARGET;
}

static void run_unknown(struct request *r)
{
	r->answer[0] = VIRTIO_SCSI_S_FAILURE;
}

#define UNKNOWN (VIRTIO_SCSI_T_AN_SUBSCRIBE + 1)

static const struct kind {
	size_t sent_len, answer_len;
	void (*run)(struct request *r);
} kinds[] = {
	[VIRTIO_SCSI_T_TMF] = { sizeof(struct virtio_scsi_ctrl_tmf_req),
				sizeof(struct virtio_scsi_ctrl_tmf_resp), run_tmf },
	[VIRTIO_SCSI_T_AN_QUERY] = { sizeof(struct virtio_scsi_ctrl_an_req),
				     sizeof(struct virtio_scsi_ctrl_an_resp), run_an },
	[VIRTIO_SCSI_T_AN_SUBSCRIBE] = { sizeof(struct virtio_scsi_ctrl_an_req),
					 sizeof(struct virtio_scsi_ctrl_an_resp), run_an },
	[UNKNOWN] = { sizeof(uint32_t), sizeof(uint8_t), run_unknown },
};

static bool answer(struct scsi_control *c, const struct vq_chain *chain)
{
	struct iovcur out = iov_cursor(chain->out, chain->nout), peek = out;
	struct iovcur in = iov_cursor(chain->in, chain->nin);
	struct request r = { .control = c };
	const struct kind *kind;
	uint8_t type[4];

	if (!iov_pull(&peek, type, sizeof(type)))
		goto refuse;
	kind = &kinds[min_u64(le32_get(type), UNKNOWN)];
	if (in.left < kind->answer_len || !iov_pull(&out, r.sent, kind->sent_len))
		goto refuse;
	kind->run(&r);
	iov_put(&in, r.answer, kind->answer_len);
	vq_push(&c->vdev->vq[SCSI_HOST_CONTROL], chain->head, kind->answer_len);
	return true;

refuse:
	virtio_refuse(c->vdev, SCSI_HOST_CONTROL, chain->head);
	return false;
}

void scsi_control_kick(struct scsi_control *c)
{
	struct virtio_device *vdev = c->vdev;
	struct iovec iov[SCSI_HOST_CHAIN_MAX];
	struct vq_chain chain;
	int r;

	do
		r = vq_pop(&vdev->vq[SCSI_HOST_CONTROL], &chain, iov, ARRAY_SIZE(iov));
	while (r > 0 && answer(c, &chain));
	if (r < 0)
		virtio_queue_fault(vdev, SCSI_HOST_CONTROL);
	virtio_complete(vdev, SCSI_HOST_CONTROL);
	virtio_kick_end(vdev, SCSI_HOST_CONTROL);
}
