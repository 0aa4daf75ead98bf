/* SPDX-License-Identifier: MIT */
#include "devices/scsi_host.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_scsi.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>

#include "devices/scsi/scsi.h"
#include "devices/scsi_control.h"
#include "devices/scsi_plug.h"
#include "virtio/virtio.h"
#include "vmm/core/loop.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"

/*
 * A request between pop and push. A queue has as many as its ring has entries, and they are big,
 * for the worst chain; so they are a mapping that is not touched before it is needed, and the one
 * used last is used next.
 */
struct slot {
	struct scsi_cmd cmd;
	struct request_queue *rq;
	uint16_t head;
	uint64_t data_len; /* bytes of data buffers, either direction */
	bool data_in;
	struct iovcur response;
	struct slot *next_free;
	struct iovec chain[SCSI_HOST_CHAIN_MAX];
	struct iovec data[SCSI_HOST_CHAIN_MAX];
};

struct request_queue {
	struct scsi_host *host;
	struct host_thread *thread;
	unsigned q;
	struct scsi_host_format format;
	bool unshown; /* in the thread's list: requests are done that the driver was not shown */
	STAILQ_ENTRY(request_queue) link;
	unsigned nslots, nfresh;
	struct slot *slots;
	struct slot *free; /* used before; behind them come those from slots[nfresh] on */
};

struct host_thread {
	struct loop *loop;
	struct scsi_ctx ctx;
	STAILQ_HEAD(, request_queue) unshown;
	struct loop_task show;
	atomic_bool open; /* ctx is in use: from the first start of a queue here until close */
};

struct scsi_host {
	struct virtio_device *vdev;
	struct scsi_port *port;
	struct scsi_events events;   /* of the first thread */
	struct scsi_control control; /* ... */
	struct request_queue *request; /* [vdev->nvq], the first two are not used */
	unsigned nthreads;
	struct host_thread thread[];
};

static_assert(VIRTIO_SCSI_CDB_SIZE == SCSI_CDB_MAX, "a CDB does not fit");
static_assert(VIRTIO_SCSI_SENSE_SIZE == SCSI_SENSE_MAX, "sense data does not fit");

/* Virtio's codes for how a request ended (§5.6.6.1). */
static const uint8_t response_codes[] = {
	[SCSI_RESPONSE_OK] = VIRTIO_SCSI_S_OK,
	[SCSI_RESPONSE_BAD_TARGET] = VIRTIO_SCSI_S_BAD_TARGET,
	[SCSI_RESPONSE_PATH] = VIRTIO_SCSI_S_TRANSPORT_FAILURE,
	[SCSI_RESPONSE_ABORTED] = VIRTIO_SCSI_S_ABORTED,
	[SCSI_RESPONSE_RESET] = VIRTIO_SCSI_S_RESET,
	[SCSI_RESPONSE_OVERRUN] = VIRTIO_SCSI_S_OVERRUN,
	[SCSI_RESPONSE_FAILURE] = VIRTIO_SCSI_S_TARGET_FAILURE,
};

/* Request queues. */

/*
 * What a round of the loop has done is shown to the driver at its end: one index to write and one
 * interrupt, if any, for all of it. Task management and the end of a queue do not wait for that.
 */
static void show(void *arg)
{
	struct host_thread *t = arg;
	struct request_queue *rq;

	while ((rq = STAILQ_FIRST(&t->unshown))) {
		STAILQ_REMOVE_HEAD(&t->unshown, link);
		rq->unshown = false;
		virtio_complete(rq->host->vdev, rq->q);
	}
}

static void show_later(struct request_queue *rq)
{
	if (rq->unshown)
		return;
	rq->unshown = true;
	STAILQ_INSERT_TAIL(&rq->thread->unshown, rq, link);
	loop_defer(rq->thread->loop, &rq->thread->show);
}

static struct slot *slot_peek(struct request_queue *rq)
{
	return rq->free ? rq->free : &rq->slots[rq->nfresh];
}

static void slot_take(struct request_queue *rq, struct slot *s)
{
	if (s == rq->free)
		rq->free = s->next_free;
	else
		rq->nfresh++;
}

static void slot_give(struct request_queue *rq, struct slot *s)
{
	s->next_free = rq->free;
	rq->free = s;
}

static void request_end(struct slot *s, uint8_t response)
{
	uint8_t buf[sizeof(struct virtio_scsi_cmd_resp)] = { 0 };
	const struct scsi_cmd *cmd = &s->cmd;
	struct request_queue *rq = s->rq;
	struct virtio_device *vdev = rq->host->vdev;
	uint32_t sense_len = min_u64(cmd->sense_len, rq->format.sense_size);
	size_t len = s->response.left;

#define FIELD(name) (buf + offsetof(struct virtio_scsi_cmd_resp, name))
	le32_put(FIELD(sense_len), sense_len);
	le32_put(FIELD(resid), min_u64(s->data_len - cmd->moved, UINT32_MAX));
	*FIELD(status) = cmd->status;
	*FIELD(response) = response;
	memcpy(FIELD(sense), cmd->sense, sense_len);
#undef FIELD
	iov_put(&s->response, buf, len);

	vq_push(&vdev->vq[rq->q], s->head, len + (s->data_in ? cmd->moved : 0));
	slot_give(rq, s);
	show_later(rq);
}

static void request_done(struct scsi_cmd *cmd)
{
	request_end(container_of(cmd, struct slot, cmd), response_codes[cmd->response]);
}

/* Never reached the target. */
static void request_reject(struct slot *s, uint8_t response)
{
	s->cmd.status = SCSI_GOOD;
	s->cmd.sense_len = 0;
	s->cmd.moved = 0;
	request_end(s, response);
}

/* Takes the headers out of the chain; what is left is data. False: they are not all there. */
static bool request_parse(struct slot *s, const struct vq_chain *chain, uint8_t lun[8])
{
	const struct scsi_host_format *format = &s->rq->format;
	uint8_t buf[sizeof(struct virtio_scsi_cmd_req)] = { 0 };
	struct scsi_cmd *cmd = &s->cmd;
	size_t req_len = offsetof(struct virtio_scsi_cmd_req, cdb) + format->cdb_size;
	size_t resp_len = offsetof(struct virtio_scsi_cmd_resp, sense) + format->sense_size;

	cmd->out = iov_cursor(chain->out, chain->nout);
	cmd->in = iov_cursor(chain->in, chain->nin);
	if (cmd->in.left < resp_len || !iov_pull(&cmd->out, buf, req_len))
		return false;
	s->response = iov_split(&cmd->in, resp_len);
	s->data_in = cmd->in.left;
	s->data_len = cmd->in.left + cmd->out.left;
	memcpy(lun, buf + offsetof(struct virtio_scsi_cmd_req, lun), 8);
	cmd->tag = le64_get(buf + offsetof(struct virtio_scsi_cmd_req, tag));
	memcpy(cmd->cdb, buf + offsetof(struct virtio_scsi_cmd_req, cdb), SCSI_CDB_MAX);
	return true;
}

static bool request_start(struct request_queue *rq, struct slot *s, const struct vq_chain *chain)
{
	struct scsi_cmd *cmd = &s->cmd;
	uint8_t lun[8];

	s->rq = rq;
	s->head = chain->head;
	if (!request_parse(s, chain, lun)) {
		virtio_refuse(rq->host->vdev, rq->q, s->head);
		slot_give(rq, s);
		return false;
	}
	cmd->ctx = &rq->thread->ctx;
	cmd->done = request_done;
	cmd->iov = s->data;
	cmd->iov_max = SCSI_HOST_CHAIN_MAX;
	if (!scsi_address_decode(lun, &cmd->target, cmd->lun_field))
		request_reject(s, VIRTIO_SCSI_S_BAD_TARGET);
	else if (cmd->in.left && cmd->out.left) /* for which INOUT would have to be offered */
		request_reject(s, VIRTIO_SCSI_S_FAILURE);
	else
		scsi_submit(cmd);
	return true;
}

static void request_kick(struct request_queue *rq)
{
	struct virtio_device *vdev = rq->host->vdev;
	struct vq_chain chain;
	int r;

	for (;;) {
		struct slot *s = slot_peek(rq);

		r = vq_pop(&vdev->vq[rq->q], &chain, s->chain, SCSI_HOST_CHAIN_MAX);
		if (r <= 0)
			break;
		slot_take(rq, s);
		if (!request_start(rq, s, &chain))
			break;
	}
	if (r < 0)
		virtio_queue_fault(vdev, rq->q);
	virtio_kick_end(vdev, rq->q);
}

/* The control queue. */

static int show_now(void *arg)
{
	show(arg);
	return 0;
}

/*
 * A thread on which no queue has started yet has no commands either. The driver finds what was
 * aborted before the function's own answer.
 */
static int tmf_run(void *arg, const struct scsi_tmf_request *request)
{
	struct scsi_host *host = arg;
	struct scsi_ctx *ctx[SCSI_HOST_THREADS_MAX];
	enum scsi_tmf_response response;
	unsigned i, n = 0;

	for (i = 0; i < host->nthreads; i++) {
		if (atomic_load(&host->thread[i].open))
			ctx[n++] = &host->thread[i].ctx;
	}
	response = scsi_tmf(ctx, n, request);
	for (i = 0; i < host->nthreads; i++)
		loop_call(host->thread[i].loop, show_now, &host->thread[i]);
	return response;
}

static bool has_target(void *arg, uint8_t target)
{
	struct scsi_host *host = arg;

	return scsi_ctx_has_target(&host->thread[0].ctx, target);
}

static const struct scsi_control_ops control_ops = { .has_target = has_target, .tmf = tmf_run };

void scsi_host_kick(struct scsi_host *host, unsigned q)
{
	if (q >= SCSI_HOST_REQUEST)
		request_kick(&host->request[q]);
	else if (q == SCSI_HOST_CONTROL)
		scsi_control_kick(&host->control);
	else
		scsi_events_kick(&host->events);
}

/* Start and stop. */

static void thread_init(struct host_thread *t, struct loop *loop)
{
	t->loop = loop;
	t->show = (struct loop_task){ .fn = show, .arg = t };
	STAILQ_INIT(&t->unshown);
}

static int thread_open(struct host_thread *t, struct scsi_port *port)
{
	int r;

	if (atomic_load(&t->open))
		return 0;
	r = scsi_ctx_init(&t->ctx, port, t->loop);
	if (!r)
		atomic_store(&t->open, true);
	return r;
}

static int thread_close(void *arg)
{
	struct host_thread *t = arg;

	if (atomic_exchange(&t->open, false))
		scsi_ctx_fini(&t->ctx);
	loop_cancel(t->loop, &t->show);
	return 0;
}

static size_t slots_size(const struct request_queue *rq)
{
	return rq->nslots * sizeof(struct slot);
}

uint64_t scsi_host_memory(unsigned queues, unsigned entries, unsigned threads)
{
	return (uint64_t)queues * (entries + 1) * sizeof(struct slot) +
	       (uint64_t)threads * SCSI_BOUNCE_MAX * SCSI_BOUNCE_SIZE;
}

static int request_queue_start(struct request_queue *rq, unsigned ring_size)
{
	void *slots;

	/* One more: the pop that finds nothing needs a place, too. */
	rq->nslots = ring_size + 1;
	slots = mmap(NULL, slots_size(rq), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		     0);
	if (slots == MAP_FAILED)
		return -errno;
	rq->slots = slots;
	rq->nfresh = 0;
	rq->free = NULL;
	return 0;
}

int scsi_host_queue_start(struct scsi_host *host, unsigned q, struct loop *loop,
			  const struct scsi_host_format *format)
{
	struct request_queue *rq = &host->request[q];
	struct host_thread *t = host->thread;
	int r;

	BUG_ON(format->cdb_size > SCSI_CDB_MAX || format->sense_size > SCSI_SENSE_MAX);
	while (t->loop != loop)
		t++;
	r = thread_open(t, host->port);
	if (!r && q >= SCSI_HOST_REQUEST) {
		rq->host = host;
		rq->thread = t;
		rq->q = q;
		rq->format = *format;
		r = request_queue_start(rq, host->vdev->vq[q].s.size);
	}
	if (!r && q == SCSI_HOST_EVENT)
		scsi_events_start(&host->events);
	if (r < 0)
		log_guest(&host->vdev->limit, "%s: queue %u: %s", host->vdev->name, q,
			  strerror(-r));
	return r;
}

void scsi_host_queue_stop(struct scsi_host *host, unsigned q)
{
	struct request_queue *rq = &host->request[q];

	if (q == SCSI_HOST_EVENT)
		scsi_events_stop(&host->events);
	if (q < SCSI_HOST_REQUEST)
		return;
	scsi_ctx_drain(&rq->thread->ctx);
	show(rq->thread);
	munmap(rq->slots, slots_size(rq));
	rq->slots = NULL;
}

struct scsi_host *scsi_host_create(struct virtio_device *vdev, struct scsi_port *port,
				   struct loop *const *loop, unsigned nloops)
{
	struct scsi_host *host = calloc(1, sizeof(*host) + nloops * sizeof(host->thread[0]));
	unsigned i;

	if (!host)
		return NULL;
	host->request = calloc(vdev->nvq, sizeof(host->request[0]));
	if (!host->request) {
		free(host);
		return NULL;
	}
	host->vdev = vdev;
	host->port = port;
	host->control = (struct scsi_control){ .vdev = vdev, .ops = &control_ops, .arg = host };
	host->events = (struct scsi_events){ .vdev = vdev, .q = SCSI_HOST_EVENT };
	host->nthreads = nloops;
	for (i = 0; i < nloops; i++)
		thread_init(&host->thread[i], loop[i]);
	return host;
}

struct asking {
	struct host_thread *thread;
	int (*fn)(struct scsi_ctx *ctx, void *arg);
	void *arg;
};

static int ask_thread(void *arg)
{
	const struct asking *a = arg;

	return atomic_load(&a->thread->open) ? a->fn(&a->thread->ctx, a->arg) : 0;
}

int scsi_host_ask(struct scsi_host *host, int (*fn)(struct scsi_ctx *ctx, void *arg), void *arg)
{
	struct asking a = { .fn = fn, .arg = arg };
	int r = 0, err;
	unsigned i;

	for (i = 0; i < host->nthreads; i++) {
		a.thread = &host->thread[i];
		err = loop_call(a.thread->loop, ask_thread, &a);
		if (!r)
			r = err;
	}
	return r;
}

struct sending {
	struct scsi_events *events;
	const struct scsi_event *event;
};

static int send_event(void *arg)
{
	const struct sending *s = arg;

	scsi_events_send(s->events, s->event);
	return 0;
}

void scsi_host_tell(struct scsi_host *host, const struct scsi_event *event)
{
	struct sending s = { &host->events, event };

	loop_call(host->thread[0].loop, send_event, &s);
}

struct scsi_port *scsi_host_port(struct scsi_host *host)
{
	return host->port;
}

void scsi_host_state(struct scsi_host *host, struct state *s)
{
	bool missed = host && host->events.missed;

	if (!host)
		state_fail(s, -EOPNOTSUPP);
	state_bool(s, &missed);
	if (state_takes(s))
		host->events.missed = missed;
}

void scsi_host_close(struct scsi_host *host)
{
	unsigned i;

	for (i = 0; i < host->nthreads; i++)
		loop_call(host->thread[i].loop, thread_close, &host->thread[i]);
}

void scsi_host_destroy(struct scsi_host *host)
{
	if (!host)
		return;
	scsi_host_close(host);
	free(host->request);
	free(host);
}
