/* SPDX-License-Identifier: MIT */
/*
 * op.h - inside of the target: the command table, and what its handlers share.
 *
 * One table row describes a command: its opcode and service action, the bits of
 * its CDB that mean something, what it needs, and the function that runs it.
 * Dispatch, the refusal of reserved bits, and REPORT SUPPORTED OPERATION CODES
 * all read that row, so that they cannot disagree.
 *
 * A handler checks the fields that the row cannot, then answers at once or
 * submits I/O and returns SENSE_PENDING. A command of several steps names the
 * function of its next step in cmd->next. It never waits.
 *
 * Everything here is for the thread of the command.
 */
#ifndef DEVICES_SCSI_OP_H
#define DEVICES_SCSI_OP_H

#include "devices/scsi/scsi.h"

enum scsi_op_flags {
	SCSI_OP_MEDIUM = 1,   /* refused while the unit is stopped */
	SCSI_OP_WRITES = 2,   /* refused when write protected */
	SCSI_OP_ANY_LUN = 4,  /* answered where there is no LUN, too */
	SCSI_OP_SKIPS_UA = 8, /* neither reports nor clears a unit attention (SAM-5 5.14) */
	SCSI_OP_WLUN = 16,    /* answered by the REPORT LUNS well-known LUN, too */
	SCSI_OP_UNMAPS = 32,  /* there only if the LUN offers UNMAP */
	SCSI_OP_ALUA = 64,    /* there only if several ports reach the LUN */
	SCSI_OP_STANDBY = 128, /* answered by a port in this state, ... (SPC-4 5.15.2.4.4) */
	SCSI_OP_ATOMIC = 512, /* there only if the LUN offers atomic writes */
	SCSI_OP_UNAVAILABLE = 256, /* ... in this one (5.15.2.4.5) */
};

/*
 * What a command does to a LUN that another initiator has reserved (the tables of SPC-4 5.13.1 and
 * SBC-3; those of SPC-2 for the old RESERVE): a bit that the reservation may refuse.
 */
enum scsi_access {
	ACCESS_FREE = 0,   /* always allowed, or the command looks itself */
	ACCESS_OPEN = 1,   /* refused by the old RESERVE only */
	ACCESS_READ = 2,   /* refused by exclusive access, too */
	ACCESS_WRITE = 4,  /* refused by every reservation */
	ACCESS_ALL = 7,
};

struct scsi_op {
	uint8_t opcode;
	uint8_t cdb_len;
	uint16_t flags;    /* enum scsi_op_flags */
	uint8_t access;    /* enum scsi_access */
	uint8_t usage[15]; /* SPC-4 6.35.3: bits that we look at in byte 1 and on, action aside */
	bool has_action;   /* service action in byte 1, bits 4 to 0 */
	uint8_t action;
	enum scsi_sense (*run)(struct scsi_cmd *cmd);
	const char *name;
};

/* Rows of one opcode stand together; a row without run ends the table. */
extern const struct scsi_op spc_ops[], sbc_ops[], mmc_ops[];
/* Those of one type alone: for disks SBC's. */
const struct scsi_op *scsi_type_ops(enum scsi_type type);

/* How a command ends, as the initiator sees it. */
struct scsi_outcome {
	enum scsi_response response;
	uint8_t status, key, asc, ascq;
};

/* @why is neither SENSE_PENDING nor SENSE_COUNT. */
const struct scsi_outcome *scsi_outcome(enum scsi_sense why);
/*
 * Writes fixed or descriptor sense data for @why; NONE gives NO SENSE. @detail may be NULL. Returns
 * the length: 18, or 8 to SCSI_SENSE_LONGEST for descriptor format.
 */
#define SCSI_SENSE_LONGEST 28
uint8_t scsi_sense_build(uint8_t sense[SCSI_SENSE_MAX], enum scsi_sense why, bool descriptor,
			 const struct scsi_detail *detail);

/* port.c */

bool scsi_is_wlun(const uint8_t lun_field[8]);
/* The address of LUN @number as REPORT LUNS gives it. */
void scsi_lun_address(uint16_t number, uint8_t lun_field[8]);
/*
 * The number in a LUN field: peripheral device addressing on bus 0, or flat space addressing, one
 * level (SAM-5 4.7.7). -1: none that we have.
 */
int scsi_lun_number(const uint8_t lun_field[8]);
/* Order of addresses, as memcmp(). */
int scsi_lun_compare(const struct scsi_lun *lun, uint8_t target, uint16_t number);

/* lun.c */

/* State as after power on. Attentions and persistent reservations are kept. Any thread. */
void scsi_lun_reset(struct scsi_lun *lun);
bool scsi_is_protected(const struct scsi_lun *lun);
/* Pending for one initiator, for all others. */
void scsi_nexus_attention(struct scsi_nexus *nexus, enum scsi_sense why);
void scsi_attention_others(const struct scsi_nexus *nexus, enum scsi_sense why);
/* Ends the commands in flight of all others, or of one, from this moment on. Any thread. */
void scsi_nexus_end_commands(struct scsi_nexus *nexus);
void scsi_end_others(const struct scsi_nexus *nexus);
/* Takes the pending attention that is to be reported first; SENSE_NONE: there is none. */
enum scsi_sense scsi_attention_take(struct scsi_nexus *nexus);
/* GET EVENT STATUS NOTIFICATION's media events (MMC-6 6.6), in lun->media_event. */
enum { SCSI_MEDIA_NO_EVENT, SCSI_MEDIA_EJECT_WISH, SCSI_MEDIA_NEW, SCSI_MEDIA_REMOVED };

/* alua.c */

/* What most commands are refused for by this port; NONE: nothing. */
enum scsi_sense alua_state(const struct scsi_nexus *nexus);
/* May the command be run by its port? NONE, or why not. */
enum scsi_sense alua_check(const struct scsi_cmd *cmd);

/* reserve.c */

/* Can there be this one, of a LUN with so many registrants? A holder is one of them. */
bool reserve_is_possible(const struct scsi_reservation *r, unsigned registrants);
/* What a new nexus finds refused. Under lun->lock. */
void reserve_update(struct scsi_lun *lun);
/* The nexus is no more. Under lun->lock. */
void reserve_forget(struct scsi_nexus *nexus);
/* SPC-2's reservation ends, whoever has it, or if @nexus has it. */
void reserve_release(struct scsi_lun *lun, const struct scsi_nexus *nexus);

/* target.c */

/* The path to a LUN; NULL: there is none. */
struct scsi_path *scsi_ctx_find(const struct scsi_ctx *ctx, uint8_t target,
				const uint8_t lun_field[8]);
/* Peripheral qualifier and device type, byte 0 of INQUIRY data. */
uint8_t scsi_device_type(const struct scsi_cmd *cmd);
/* Has it no medium to work on: no attention is pending then. NONE, or why. */
enum scsi_sense scsi_not_ready(const struct scsi_cmd *cmd);
/* Does @unit (NULL: any) have this command? */
bool scsi_op_offered(const struct scsi_op *op, const struct scsi_lun *unit);
/* NULL: not offered. @action does not count for an opcode that has none. */
const struct scsi_op *scsi_op_find(const struct scsi_ctx *ctx, const struct scsi_lun *unit,
				   uint8_t opcode, uint16_t action);

/* Ends a command; it may be gone afterwards. */
void scsi_complete(struct scsi_cmd *cmd, enum scsi_sense why);

/* Sends parameter data: at most @alloc_len of the @len bytes. NONE, or OVERRUN. */
enum scsi_sense scsi_reply(struct scsi_cmd *cmd, const void *data, size_t len, size_t alloc_len);
/* Takes parameter data. False, with nothing done: the initiator has less. */
bool scsi_fetch(struct scsi_cmd *cmd, void *data, size_t len);
/* INVALID FIELD with a pointer to the field, by its first byte and highest bit. */
enum scsi_sense scsi_bad_cdb(struct scsi_cmd *cmd, unsigned byte, unsigned bit);
enum scsi_sense scsi_bad_parameter(struct scsi_cmd *cmd, unsigned byte, unsigned bit);

/*
 * COMPARE AND WRITE must not be interrupted by another command that changes the same blocks (SBC-3
 * 5.2). So whoever changes blocks claims them, COMPARE AND WRITE exclusively, until it ends. False:
 * another claim is in the way, and one of the two is exclusive; or since the command came, another
 * initiator has ended it, or has got a reservation that refuses it. The command then ends with
 * BUSY, and the initiator tries again: nothing waits for another thread, and drain and abort have
 * nothing to untangle.
 */
bool scsi_claim(struct scsi_cmd *cmd, uint64_t lba, uint64_t blocks, bool exclusive);
/*
 * Are commands of other initiators than that of @nexus under way that were ended from outside, and
 * have claims until the store gives them back? There are no new ones of them. Any thread.
 */
bool scsi_others_linger(const struct scsi_nexus *nexus);

/* sbc.c: blocks and the store */

/* Limits, announced in page B0h and kept. */
#define SBC_CHUNK (64u << 10)           /* bytes of a bounce buffer step */
#define SBC_MAX_TRANSFER (32u << 20)    /* bytes; a store may take no more in one piece */
#define SBC_BEST_TRANSFER (1u << 20)    /* bytes */
#define SBC_MAX_WRITE_SAME (64u << 20)  /* bytes */
#define SBC_MAX_UNMAP_DESCRIPTORS 256   /* of any number of blocks, ... */
#define SBC_UNMAP_STEP (1u << 30)       /* ... of which a store gets so many bytes at a time */
/* Blocks that COMPARE AND WRITE takes: one step, and an 8-bit field. */
uint8_t sbc_max_compare_and_write(const struct scsi_lun *lun);

uint64_t sbc_capacity(const struct scsi_cmd *cmd); /* blocks; 0: no medium */
/* Reads LBA and length of the CDB into cmd->lba, cmd->blocks and checks them. NONE, or why not. */
enum scsi_sense sbc_extent(struct scsi_cmd *cmd);
/* Likewise, for commands that MAXIMUM TRANSFER LENGTH holds for. */
enum scsi_sense sbc_transfer(struct scsi_cmd *cmd);
/* Cuts what the command needs off the initiator's data, into cmd->data. False: there is less. */
bool sbc_take(struct scsi_cmd *cmd, struct iovcur *from, uint64_t blocks);
/* LENGTH field beyond an announced limit. */
enum scsi_sense sbc_too_long(struct scsi_cmd *cmd);
/* Copies the block at the start of the bounce buffer's @half (0, 1) until SBC_CHUNK is full. */
void sbc_repeat_block(struct scsi_cmd *cmd, unsigned half);
/*
 * Goes on with @then when there is a bounce buffer, two halves of SBC_CHUNK bytes: at once, or
 * later, and then PENDING is returned. FAILURE: no memory.
 */
enum scsi_sense scsi_bounce(struct scsi_cmd *cmd, enum scsi_sense (*then)(struct scsi_cmd *cmd));
/* A step is done, with @why: the next one, or the end of the command. */
void sbc_go_on(struct scsi_cmd *cmd, enum scsi_sense why);
/* BLOCK_FUA if the CDB says so or if there is no write cache. */
unsigned sbc_write_flags(const struct scsi_cmd *cmd, bool fua);

/*
 * Submit I/O for @blocks from @lba on, then go on with cmd->next. PENDING; or NO_MEDIUM; or
 * FAILURE, when the initiator's memory is in more pieces than the transport has room for. The
 * memory: none, cmd->buffer, or the start of cmd->data, which stays where it is.
 */
enum scsi_sense sbc_submit(struct scsi_cmd *cmd, enum block_io io, unsigned flags, uint64_t lba,
			   uint64_t blocks);
enum scsi_sense sbc_submit_buffer(struct scsi_cmd *cmd, enum block_io io, unsigned flags,
				  uint64_t lba, uint64_t blocks);
enum scsi_sense sbc_submit_data(struct scsi_cmd *cmd, enum block_io io, unsigned flags,
				uint64_t lba, uint64_t blocks);
/* Flushes, then goes on with cmd->next. Without a medium there is nothing to flush. */
enum scsi_sense sbc_flush_if_any(struct scsi_cmd *cmd);
/* A last step: counts what cmd->req has moved. */
enum scsi_sense sbc_moved(struct scsi_cmd *cmd);

/* Handlers that a table names from another file. */

enum scsi_sense sbc_read(struct scsi_cmd *cmd);
enum scsi_sense sbc_read_capacity_10(struct scsi_cmd *cmd);
enum scsi_sense sbc_read_capacity_16(struct scsi_cmd *cmd);
enum scsi_sense sbc_synchronize_cache(struct scsi_cmd *cmd);
enum scsi_sense sbc_start_stop_unit(struct scsi_cmd *cmd);
enum scsi_sense reserve_unit(struct scsi_cmd *cmd);
enum scsi_sense reserve_release_unit(struct scsi_cmd *cmd);
enum scsi_sense reserve_read_keys(struct scsi_cmd *cmd);
enum scsi_sense reserve_read_reservation(struct scsi_cmd *cmd);
enum scsi_sense reserve_report_capabilities(struct scsi_cmd *cmd);
enum scsi_sense reserve_read_full_status(struct scsi_cmd *cmd);
enum scsi_sense reserve_out(struct scsi_cmd *cmd);
enum scsi_sense alua_report(struct scsi_cmd *cmd);
enum scsi_sense log_sense(struct scsi_cmd *cmd);
enum scsi_sense vpd_inquiry(struct scsi_cmd *cmd);
enum scsi_sense mode_sense(struct scsi_cmd *cmd);
enum scsi_sense mode_select(struct scsi_cmd *cmd);
enum scsi_sense verify_run(struct scsi_cmd *cmd);
enum scsi_sense verify_write_and(struct scsi_cmd *cmd);
enum scsi_sense verify_orwrite(struct scsi_cmd *cmd);
enum scsi_sense verify_compare_and_write(struct scsi_cmd *cmd);
enum scsi_sense provision_unmap(struct scsi_cmd *cmd);
enum scsi_sense provision_write_same(struct scsi_cmd *cmd);
enum scsi_sense provision_lba_status(struct scsi_cmd *cmd);

#endif
