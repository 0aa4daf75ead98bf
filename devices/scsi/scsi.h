/*
 * scsi.h - the SCSI target: what a LUN answers to a command.
 *
 * Knows SAM, SPC and SBC and nothing else: no virtio, no guest memory, no file.
 * A transport (devices/scsi_host.c) fills in a struct scsi_cmd and calls
 * scsi_submit(); some time later, on the same thread, cmd->done is called with
 * status, sense data and the number of bytes moved.
 *
 *	target.c     addressing, unit attentions, dispatch by the command table
 *	tmf.c        task management
 *	spc.c        commands of every device: INQUIRY, REPORT LUNS, ... (SPC-4)
 *	vpd.c        the vital product data pages of INQUIRY
 *	mode.c       MODE SENSE, MODE SELECT
 *	sbc.c        commands of disks: READ, WRITE, capacity, flush     (SBC-3)
 *	verify.c     what compares: VERIFY, COMPARE AND WRITE
 *	provision.c  UNMAP, WRITE SAME, GET LBA STATUS
 *	sense.c      the one table from reason to sense data
 *	op.h         what these files share: the command table's row
 *
 * Threads: each thread that serves requests has a struct scsi_ctx, with the
 * commands in flight there and a block channel per LUN. A command lives and
 * dies on one thread.
 */
#ifndef DEVICES_SCSI_SCSI_H
#define DEVICES_SCSI_SCSI_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "devices/block/block.h"
#include "vmm/core/iov.h"

struct loop;

#define SCSI_CDB_MAX 32
#define SCSI_SENSE_MAX 96
#define SCSI_LUNS_MAX 16384 /* flat space addressing, SAM-5 4.7.7.3 */
#define SCSI_ID_MAX 63      /* serial number, vendor, product: longest that we take */
#define SCSI_NAA_MAX 32     /* hex digits of an NAA name */

/* SAM-5 5.3.1 */
enum scsi_status {
	SCSI_GOOD = 0x00,
	SCSI_CHECK_CONDITION = 0x02,
	SCSI_BUSY = 0x08,
	SCSI_RESERVATION_CONFLICT = 0x18,
	SCSI_TASK_SET_FULL = 0x28,
	SCSI_TASK_ABORTED = 0x40,
};

/* What became of a command below SAM: the transport maps this to its own codes. */
enum scsi_response {
	SCSI_RESPONSE_OK,         /* there is a status */
	SCSI_RESPONSE_BAD_TARGET, /* nobody has this address */
	SCSI_RESPONSE_ABORTED,    /* by task management */
	SCSI_RESPONSE_RESET,      /* by a reset */
	SCSI_RESPONSE_OVERRUN,    /* the CDB wants more than the buffers hold */
	SCSI_RESPONSE_FAILURE,    /* the host could not */
};

/*
 * How a command ends; sense.c has the one table from here to response, status, sense key and code.
 * A handler returns one of these and never builds sense data itself.
 */
enum scsi_sense {
	SENSE_NONE,    /* it is done, GOOD */
	SENSE_PENDING, /* it will be done later */

	/* Unit attentions; who comes first is reported first (SAM-5 5.14.4). */
	SENSE_POWER_ON,
	SENSE_BUS_DEVICE_RESET,
	SENSE_NEXUS_LOSS,
	SENSE_MODE_PARAMETERS_CHANGED,
	SENSE_CAPACITY_CHANGED,
	SENSE_LUNS_CHANGED,

	SENSE_INVALID_OPCODE,
	SENSE_INVALID_FIELD_IN_CDB,
	SENSE_INVALID_FIELD_IN_PARAMETERS,
	SENSE_PARAMETER_LIST_LENGTH,
	SENSE_LBA_OUT_OF_RANGE,
	SENSE_NO_SUCH_LUN,
	SENSE_SAVING_NOT_SUPPORTED,
	SENSE_STOPPED,
	SENSE_WRITE_PROTECTED,
	SENSE_SPACE_ALLOCATION_FAILED,
	SENSE_MISCOMPARE,
	SENSE_READ_ERROR,
	SENSE_WRITE_ERROR,
	SENSE_INTERNAL_FAILURE,

	/* Without sense data: another status or response. */
	SENSE_BUSY,
	SENSE_OVERRUN,
	SENSE_FAILURE,
	SENSE_ABORTED,
	SENSE_RESET,

	SENSE_COUNT
};

/* More about an error, for the sense data. */
struct scsi_detail {
	bool has_info, has_field;
	uint64_t info;  /* INFORMATION: an LBA, or the offset of a miscompare */
	bool in_cdb;    /* the wrong field is in the CDB, not in the parameter list */
	uint8_t bit;    /* its highest bit, ... */
	uint16_t byte;  /* ... in this byte */
};

LIST_HEAD(scsi_cmds, scsi_cmd);

/*
 * A logical unit. Who opens it owns @block and the struct. The first part is fixed from
 * scsi_target_add() on; until then its owner may change what scsi_lun_init() has put there.
 */
struct scsi_lun {
	uint16_t lun;
	struct block *block;
	uint32_t block_size;          /* bytes: 512 or 4096 */
	uint32_t physical_block;      /* bytes, a power of two */
	bool readonly;
	bool discard;                 /* LBPME: UNMAP and WRITE SAME with UNMAP are offered */
	bool write_through;           /* WCE is off after power on and reset */
	char vendor[9], product[17], revision[5]; /* INQUIRY, without padding */
	char serial[SCSI_ID_MAX + 1]; /* page 80h, never cut */
	char naa[SCSI_NAA_MAX + 1];   /* page 83h: 16 or 32 hex digits, in small letters */

	/* Changed by commands of every thread. */
	atomic_bool write_cache;      /* caching mode page, WCE */
	atomic_bool descriptor_sense; /* control mode page, D_SENSE */
	atomic_bool swp;              /* control mode page: software write protect */
	atomic_bool stopped;          /* START STOP UNIT */
	atomic_uint attentions;       /* pending unit attentions: bits of enum scsi_sense */

	/* Commands in flight that change blocks, under @lock: shared, and exclusive ones. */
	pthread_mutex_t lock;
	struct scsi_cmds claims[2];
};

struct scsi_target {
	uint8_t id;              /* the target number in the transport's address */
	struct scsi_lun **lun;   /* ascending by number */
	unsigned nluns;
};

struct scsi_op;

/* Of one thread. */
struct scsi_ctx {
	struct scsi_target *target;
	struct loop *loop;
	struct block_chan **chan;      /* [target->nluns] */
	const struct scsi_op *op[256]; /* the first row of each opcode */
	struct scsi_cmds tasks;        /* in flight here */
};

struct scsi_cmd {
	/* From the transport. */
	struct scsi_ctx *ctx;
	uint8_t lun_field[8];   /* SAM-5 4.7: the LUN as it came, target number taken out */
	uint64_t tag;
	uint8_t cdb[SCSI_CDB_MAX]; /* our own copy; behind its end: zeroes */
	struct iovcur out, in;  /* data from and to the initiator; the target advances them */
	struct iovec *iov;      /* room for what goes to the store: iov_max elements, at least 1 */
	unsigned iov_max;
	void (*done)(struct scsi_cmd *cmd); /* exactly once, perhaps inside scsi_submit() */

	/* The answer. */
	enum scsi_response response;
	uint8_t status;
	uint8_t sense[SCSI_SENSE_MAX];
	uint8_t sense_len;
	size_t moved;           /* bytes of data, either direction */

	/* The target's own. */
	struct scsi_lun *unit;  /* NULL: there is none */
	struct block_chan *chan;
	const struct scsi_op *op;
	struct scsi_detail detail;
	enum scsi_sense aborted; /* the end to give once its I/O has come back */
	struct block_req req;
	enum scsi_sense (*next)(struct scsi_cmd *cmd); /* step after req; NULL: that was all */
	uint64_t lba, blocks;   /* what is still to do; at first, what the CDB says */
	uint64_t progress;      /* bytes that earlier steps have done with */
	struct iovcur data;     /* the initiator's data that is still to use */
	uint8_t *buffer;        /* bounce buffer, freed when the command ends */
	struct {
		bool held;
		uint64_t lba, end;
		LIST_ENTRY(scsi_cmd) link;
	} claim;
	LIST_ENTRY(scsi_cmd) link;
};

/* SAM-5 7: what a transport can ask for. The order is that of virtio's subtypes, 5.6.6.2. */
enum scsi_tmf {
	SCSI_ABORT_TASK,
	SCSI_ABORT_TASK_SET,
	SCSI_CLEAR_ACA,
	SCSI_CLEAR_TASK_SET,
	SCSI_I_T_NEXUS_RESET,
	SCSI_LOGICAL_UNIT_RESET,
	SCSI_QUERY_TASK,
	SCSI_QUERY_TASK_SET,
	SCSI_TMF_COUNT
};

enum scsi_tmf_response {
	SCSI_TMF_COMPLETE,
	SCSI_TMF_SUCCEEDED,
	SCSI_TMF_REJECTED,
	SCSI_TMF_INCORRECT_LUN,
};

/*
 * A LUN over an open block, with names made from @serial (at most SCSI_ID_MAX characters of ASCII).
 * [setup]
 */
void scsi_lun_init(struct scsi_lun *lun, struct block *block, uint16_t number, const char *serial);
void scsi_lun_fini(struct scsi_lun *lun);
/*
 * The NAA name, of the kind IEEE Registered Extended, that the kernel's target makes: @company, and
 * behind it the first 25 hex digits that are in @serial, and zeroes. A LUN has by default a company
 * that is a hash of its serial number, so that names differ, of the half of all companies that are
 * assigned locally, so that it is nobody's.
 */
void scsi_naa_from_serial(char naa[SCSI_NAA_MAX + 1], uint32_t company, const char *serial);
/* The company in such a name. */
uint32_t scsi_naa_company(const char *naa);
/*
 * Powers the LUN on; keeps the list ascending. Before any scsi_ctx_init(). -EEXIST, -ENOMEM. The
 * LUN stays the caller's. [setup]
 */
int scsi_target_add(struct scsi_target *target, struct scsi_lun *lun);
void scsi_target_fini(struct scsi_target *target);
/* Hard reset: every LUN is as after power on, and says so. Nothing is in flight. Any thread. */
void scsi_target_reset(struct scsi_target *target);
/* The LUN of a SAM address; NULL: there is none. */
struct scsi_lun *scsi_target_lun(const struct scsi_target *target, const uint8_t lun_field[8]);

/* Opens the block channels. -errno. [the thread of @loop] */
int scsi_ctx_init(struct scsi_ctx *ctx, struct scsi_target *target, struct loop *loop);
/* Waits until nothing is in flight, and closes them. */
void scsi_ctx_fini(struct scsi_ctx *ctx);
/* Waits until nothing is in flight. done functions run meanwhile; they must not submit. */
void scsi_ctx_drain(struct scsi_ctx *ctx);

/*
 * Runs a command. What the CDB asks for is moved, or SCSI_RESPONSE_OVERRUN says that the buffers
 * are too small for it; larger ones are no error. [ctx's thread]
 */
void scsi_submit(struct scsi_cmd *cmd);

/*
 * Task management for the commands of all @nctx threads, on the first one's thread; the others are
 * asked by loop_call(). When it returns, every command that was to end has had its done called.
 * [thread of ctx[0]]
 */
enum scsi_tmf_response scsi_tmf(struct scsi_ctx *const *ctx, unsigned nctx, enum scsi_tmf what,
				const uint8_t lun_field[8], uint64_t tag);

/* From now on pending for the initiator (there is one per device). Any thread. */
void scsi_attention(struct scsi_lun *lun, enum scsi_sense why);

#endif
