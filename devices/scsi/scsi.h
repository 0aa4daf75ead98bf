/* SPDX-License-Identifier: MIT */
/*
 * scsi.h - the SCSI target: what a LUN answers to a command.
 *
 * Knows SAM, SPC and SBC and nothing else: no virtio, no guest memory, no file.
 * A transport (devices/scsi_host.c) fills in a struct scsi_cmd and calls
 * scsi_submit(); some time later, on the same thread, cmd->done is called with
 * status, sense data and the number of bytes moved.
 *
 *	target.c     dispatch by the command table, completion
 *	lun.c        a logical unit: names, medium, unit attentions
 *	port.c       the LUNs that one initiator port reaches, by address
 *	tmf.c        task management
 *	reserve.c    reservations, persistent and of the old kind
 *	alua.c       by which of its ports a LUN is to be used
 *	spc.c        commands of every device: INQUIRY, REPORT LUNS, ... (SPC-4)
 *	vpd.c        the vital product data pages of INQUIRY
 *	mode.c       MODE SENSE, MODE SELECT
 *	sbc.c        commands of disks: READ, WRITE, capacity, flush     (SBC-3)
 *	verify.c     what compares: VERIFY, COMPARE AND WRITE
 *	provision.c  UNMAP, WRITE SAME, GET LBA STATUS
 *	mmc.c        commands of CD-ROM drives                           (MMC-6)
 *	state.c      a LUN as bytes, to be saved and restored
 *	trace.c      a line for each command, if that is asked for
 *	sense.c      the one table from reason to sense data
 *	op.h         what these files share: the command table's row
 *
 * Who meets whom: a struct scsi_port stands for one initiator port, a
 * controller's driver. It reaches LUNs in up to 256 targets. A LUN may be
 * reached by several ports; each such meeting is a struct scsi_nexus (SAM-5's
 * I_T_L nexus), which holds what the LUN knows of that initiator: its unit
 * attentions, its registration, what a reservation keeps from it.
 *
 * Threads: each thread that serves requests has a struct scsi_ctx, with the
 * commands in flight there and, for each nexus, a struct scsi_path with a block
 * channel and counters. A command lives and dies on one thread. When LUNs come
 * and go, each thread changes its own paths, by scsi_ctx_sync().
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
#include "devices/block/count.h"
#include "devices/scsi/bounce.h"
#include "vmm/core/iov.h"

struct state;
struct stream;
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
	SCSI_RESPONSE_PATH,       /* the LUN cannot be reached by this port */
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
	SENSE_CLEARED_BY_OTHER,
	SENSE_MEDIUM_CHANGED,
	SENSE_MODE_PARAMETERS_CHANGED,
	SENSE_RESERVATIONS_PREEMPTED,
	SENSE_RESERVATIONS_RELEASED,
	SENSE_REGISTRATIONS_PREEMPTED,
	SENSE_ACCESS_STATE_CHANGED,
	SENSE_CAPACITY_CHANGED,
	SENSE_LUNS_CHANGED,

	SENSE_INVALID_OPCODE,
	SENSE_INVALID_FIELD_IN_CDB,
	SENSE_INVALID_FIELD_IN_PARAMETERS,
	SENSE_INVALID_RELEASE,
	SENSE_PARAMETER_LIST_LENGTH,
	SENSE_LBA_OUT_OF_RANGE,
	SENSE_NO_SUCH_LUN,
	SENSE_SAVING_NOT_SUPPORTED,
	SENSE_STANDBY,
	SENSE_UNAVAILABLE,
	SENSE_STOPPED,
	SENSE_NO_MEDIUM,
	SENSE_REMOVAL_PREVENTED,
	SENSE_WRITE_PROTECTED,
	SENSE_SPACE_ALLOCATION_FAILED,
	SENSE_MISCOMPARE,
	SENSE_READ_ERROR,
	SENSE_WRITE_ERROR,
	SENSE_INTERNAL_FAILURE,
	SENSE_TOLD, /* the store has said which (BLOCK_ERR_TOLD): it is in scsi_detail */

	/* Without sense data: another status or response. */
	SENSE_BUSY,
	SENSE_CONFLICT, /* with a reservation */
	SENSE_BAD_TARGET,
	SENSE_PATH_FAILS,
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
	uint8_t key, asc, ascq; /* of SENSE_TOLD */
};

LIST_HEAD(scsi_cmds, scsi_cmd);

/* What answers: each type has its own commands. */
enum scsi_type { SCSI_DISK, SCSI_CD, SCSI_TYPES };

/* How a LUN is to be used by one of its ports (SPC-4 5.15.2). */
enum scsi_access_state {
	SCSI_ACCESS_OPTIMIZED,
	SCSI_ACCESS_NON_OPTIMIZED,
	SCSI_ACCESS_STANDBY,
	SCSI_ACCESS_UNAVAILABLE,
	SCSI_ACCESS_FAILS, /* not a state of SCSI's: nothing is answered there */
	SCSI_ACCESS_STATES
};

/*
 * What a LUN knows of one initiator. Made by scsi_port_add(), freed by scsi_nexus_free(). The
 * atomics are read by commands of every thread.
 */
struct scsi_nexus {
	struct scsi_port *port;
	struct scsi_lun *lun;
	atomic_uint attentions; /* pending unit attentions: bits of enum scsi_sense */
	atomic_uint refused;    /* bits of enum scsi_access that a reservation keeps from it */
	atomic_uint access;     /* enum scsi_access_state */
	atomic_uint epoch;      /* another initiator has ended all its older commands */
	/* Under lun->lock. */
	bool registered;
	uint64_t key;           /* persistent reservation */
	bool prevents;          /* removal of the medium */
	bool access_was_set;
	LIST_ENTRY(scsi_nexus) link;
};

/* Reservations of a LUN (SPC-4 5.13), under its lock. */
struct scsi_reservation {
	uint32_t generation;
	uint8_t type;              /* of the persistent one, SPC-4 6.15.3; 0: there is none */
	struct scsi_nexus *holder; /* NULL: none, or all registrants */
	struct scsi_nexus *owner;  /* of SPC-2's RESERVE; NULL: none */
};

/*
 * A logical unit. Who opens it owns @block and the struct. The first part is fixed from
 * scsi_port_add() on; until then its owner may change what scsi_lun_init() has put there.
 */
struct scsi_lun {
	enum scsi_type type;
	uint8_t target;               /* its address, the same on every port */
	uint16_t lun;
	struct block *block;          /* NULL: no medium; see scsi_lun_load() */
	uint32_t block_size;          /* bytes: 512, 2048 or 4096 */
	uint32_t physical_block;      /* bytes, a power of two */
	bool readonly;
	bool removable;
	bool alua;                    /* several ports reach it: TPGS */
	bool atomic;                  /* WRITE ATOMIC is offered */
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
	atomic_bool ejected;          /* the tray is open */
	atomic_uint media_event;      /* to be reported once: MMC-6 6.6; see mmc.c */

	pthread_mutex_t lock;         /* of all that follows, and of parts of its nexuses */
	LIST_HEAD(, scsi_nexus) nexuses;
	struct scsi_reservation reservation;
	/* Commands in flight that change blocks: shared, and exclusive ones. */
	struct scsi_cmds claims[2];
	struct block_counters past;    /* of paths that are closed, as after a reset */
};

/* An initiator port: a controller, by which one driver reaches LUNs. */
struct scsi_port {
	uint16_t id;               /* relative target port identifier, 1 and up */
	uint64_t initiator;        /* 60 bits: the address in its TransportID; by default @id */
	struct stream *trace;      /* for trace.h, set before any ctx; NULL: none */
	pthread_mutex_t lock;      /* of the rest; a thread that has it waits for no other */
	struct scsi_nexus **nexus; /* ascending by target and number */
	unsigned count;
};

struct scsi_op;
struct scsi_trace;

/* A nexus as one thread uses it. */
struct scsi_path {
	struct scsi_nexus *nexus;
	struct block_chan *chan; /* NULL: no medium */
	struct block_counters counters;
};

/* Of one thread. */
struct scsi_ctx {
	struct scsi_port *port;
	struct loop *loop;
	struct scsi_path **path;       /* ascending as in the port */
	unsigned npaths;
	const struct scsi_op *op[SCSI_TYPES][256]; /* the first row of each opcode */
	struct scsi_cmds tasks;        /* in flight here */
	struct scsi_bounce bounce;     /* buffers for them */
	struct scsi_trace *trace;      /* NULL: none is asked for */
};

struct scsi_cmd {
	/* From the transport. */
	struct scsi_ctx *ctx;
	uint8_t target;
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
	struct scsi_path *path; /* NULL: there is no such LUN, */
	struct scsi_nexus *nexus; /* ... */
	struct scsi_lun *unit;  /* ... */
	struct block_chan *chan; /* ... or it has no medium */
	unsigned epoch;         /* of the nexus, when the command came */
	uint64_t began;         /* ns */
	const struct scsi_op *op;
	struct scsi_detail detail;
	enum scsi_sense aborted; /* the end to give once its I/O has come back */
	struct block_req req;
	enum scsi_sense (*next)(struct scsi_cmd *cmd); /* step after req; NULL: that was all */
	uint64_t lba, blocks;   /* what is still to do; at first, what the CDB says */
	uint64_t progress;      /* bytes that earlier steps have done with */
	struct iovcur data;     /* the initiator's data that is still to use */
	uint8_t *buffer;        /* malloc()ed, freed when the command ends; or ... */
	bool pooled;            /* ... a bounce buffer, given back then */
	bool waits;             /* for one */
	TAILQ_ENTRY(scsi_cmd) wait;
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
	SCSI_TMF_BAD_TARGET,
	SCSI_TMF_FAILURE, /* SERVICE DELIVERY OR TARGET FAILURE: the host's disk hangs */
};

/* What a function is asked for. */
struct scsi_tmf_request {
	enum scsi_tmf what;
	uint8_t target, lun_field[8];
	uint64_t tag;
};

/* lun.c */

/*
 * A LUN of target 0 over an open block (NULL: no medium yet), with names made from @serial (at most
 * SCSI_ID_MAX characters of ASCII). [setup]
 */
void scsi_lun_init(struct scsi_lun *lun, struct block *block, uint16_t number, const char *serial);
/* Turns it, before it is added to a port, into a CD-ROM drive. [setup] */
void scsi_lun_become_cd(struct scsi_lun *lun);
/* No port has it any more. */
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
/* From now on pending for all initiators. Any thread. */
void scsi_attention(struct scsi_lun *lun, enum scsi_sense why);
/* Do several ports reach it? Any thread. */
bool scsi_lun_is_shared(struct scsi_lun *lun);
/* Does an initiator prevent the removal of the medium? Any thread. */
bool scsi_lun_is_locked(struct scsi_lun *lun);
/* The tray opens, closes: initiators are told that the medium may be another. Any thread. */
void scsi_lun_eject(struct scsi_lun *lun);
void scsi_lun_load(struct scsi_lun *lun);
/* Initiators who ask for events find the wish that they give the medium out. Any thread. */
void scsi_lun_wish_eject(struct scsi_lun *lun);

/* state.c */

/* Visits what initiators have made of it (state.h). Nothing is in flight. [main] */
void scsi_lun_state(struct scsi_lun *lun, struct state *s);

/* alua.c */

/*
 * How the LUN is to be used by @port from now on; all initiators are told. The port's driver may
 * reset it: the state stays. -ENOENT: @port does not reach it. Any thread.
 */
int scsi_access_set(struct scsi_lun *lun, const struct scsi_port *port,
		    enum scsi_access_state state);
/* FAILS: @port does not reach it. [who adds and takes LUNs] */
enum scsi_access_state scsi_access_of(const struct scsi_lun *lun, const struct scsi_port *port);

/* port.c */

/* @id: relative target port identifier. [setup] */
void scsi_port_init(struct scsi_port *port, uint16_t id);
/* Its LUNs stay their owners', and must still be there. No ctx uses the port any more. */
void scsi_port_fini(struct scsi_port *port);
/*
 * A LUN comes, powered on. A ctx of the port sees it after scsi_ctx_sync(). -EEXIST: its address is
 * taken; -ENOMEM. Any thread.
 */
int scsi_port_add(struct scsi_port *port, struct scsi_lun *lun);
/*
 * A LUN goes. The nexus is the caller's, to be freed when every ctx of the port has had a
 * scsi_ctx_sync(). NULL: it is not there. Any thread.
 */
struct scsi_nexus *scsi_port_take(struct scsi_port *port, const struct scsi_lun *lun);
/* Its registration and reservation end. NULL: nothing to do. */
void scsi_nexus_free(struct scsi_nexus *nexus);
/*
 * The initiator starts anew: it finds every LUN as after power on, and is told so; but one that
 * other ports use, too, is left as it is. Nothing of it is in flight. Any thread.
 */
void scsi_port_reset(struct scsi_port *port);
/* @lun has come or gone: the others of its target say so (SPC-4 6.33). Any thread. */
void scsi_port_luns_changed(struct scsi_port *port, const struct scsi_lun *lun);
/* Has the target this LUN; NULL: any? Any thread. */
bool scsi_port_has(struct scsi_port *port, uint8_t target, const uint8_t *lun_field);
/* The highest number of a target with a LUN; 0: or there is none. Any thread. */
uint8_t scsi_port_last_target(struct scsi_port *port);

/* target.c */

/* Opens the block channels. -errno. [the thread of @loop] */
int scsi_ctx_init(struct scsi_ctx *ctx, struct scsi_port *port, struct loop *loop);
/*
 * Makes the paths those of the port as it is now. Commands for what has gone, or whose medium has
 * changed, end before it returns. -errno: a channel could not be opened, and that LUN has no medium
 * here. [ctx's thread]
 */
int scsi_ctx_sync(struct scsi_ctx *ctx);
/* Has the target a LUN? [ctx's thread] */
bool scsi_ctx_has_target(const struct scsi_ctx *ctx, uint8_t target);
/* Waits until nothing is in flight for @lun; done functions run meanwhile. [ctx's thread] */
void scsi_ctx_settle(struct scsi_ctx *ctx, const struct scsi_lun *lun);
/* For scsi_plug_swap(). [ctx's thread] */
int scsi_ctx_swap(struct scsi_ctx *ctx, const struct scsi_lun *lun);
/* Adds what @lun has done by paths that are closed. Any thread. */
void scsi_lun_count(struct scsi_lun *lun, struct block_counters *sum);
/* Adds what @lun has done here. [ctx's thread] */
void scsi_ctx_count(const struct scsi_ctx *ctx, const struct scsi_lun *lun,
		    struct block_counters *sum);
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
 * asked by loop_call(). When it returns, every command of this port that was to end has had its
 * done called, and what those of other ports, which a function concerns, were to change is changed
 * or will not be; but after FAILURE: then they, and always the others' reads, end as soon as the
 * store gives them back. [thread of ctx[0]]
 */
enum scsi_tmf_response scsi_tmf(struct scsi_ctx *const *ctx, unsigned nctx,
				const struct scsi_tmf_request *request);
/*
 * The answer for commands that are served elsewhere, of which none is left. @port: its LUNs; NULL:
 * they are not known, so each address is taken for one. Any thread.
 */
enum scsi_tmf_response scsi_tmf_idle(struct scsi_port *port,
				     const struct scsi_tmf_request *request);

#endif
