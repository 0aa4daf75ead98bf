/* SPDX-License-Identifier: MIT */
/*
 * shared_lun.h - a disk that several guests have at once: one LUN of one SCSI
 * target, with an initiator port for each guest, in the process that serves it
 * (shared_broker.h).
 *
 * What guests do to one another by it, reservations, resets, COMPARE AND WRITE, is
 * what initiators on several controllers of one guest do: see devices/scsi.
 */
#ifndef DEVICES_SHARED_LUN_H
#define DEVICES_SHARED_LUN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/medium.h"
#include "devices/scsi/scsi.h"
#include "vmm/core/platform.h"

#define SHARED_NAME_MAX 32
#define SHARED_FILE_MAX 1023
#define SHARED_INITIATORS 64
#define SHARED_MAGIC "lunshar1"

/*
 * What a guest's process says when it comes: the disk that it has in mind. All strings end with 0;
 * numbers are those of the option tables.
 */
struct shared_hello {
	char magic[8];
	char initiator[SHARED_NAME_MAX + 1]; /* empty: one that will not come back */
	char file[SHARED_FILE_MAX + 1]; /* absolute, or a URI */
	char serial[SCSI_ID_MAX + 1], wwn[SCSI_NAA_MAX + 1]; /* empty: as the file gives them */
	uint64_t dev, ino, rdev; /* of the file; zeroes: it is none of this host's */
	uint32_t block_size, physical_block; /* bytes; physical 0: as the store has it */
	uint32_t format, engine, backing;
	uint32_t readonly, direct, removable, discard;
};

struct shared_answer {
	int32_t err; /* 0; -EADDRINUSE: its initiator is there; other -errno; @text says why */
	uint32_t guests; /* that have it, with this one */
	int32_t server;  /* its process */
	uint64_t size;
	char serial[SCSI_ID_MAX + 1], naa[SCSI_NAA_MAX + 1];
	char text[480];
};

struct shared_initiator {
	char name[SHARED_NAME_MAX + 1];
	bool lives; /* a guest has it */
	struct scsi_port port;
};

struct shared_lun {
	char name[SHARED_NAME_MAX + 1];
	struct shared_hello hello; /* by which it was opened */
	struct platform platform;
	struct medium medium;
	struct scsi_lun lun;
	pthread_mutex_t lock; /* of the rest */
	struct shared_initiator *initiator[SHARED_INITIATORS]; /* NULL: free */
};

/* Is it one, with all that it needs? */
bool shared_hello_ok(const struct shared_hello *hello);

/*
 * Opens the disk of the first guest that comes. -errno, and @answer has the reason. It has the
 * image's lock until it is closed. [main]
 */
int shared_lun_open(struct shared_lun *s, const char *name, const struct shared_hello *hello,
		    struct shared_answer *answer);
/* No guest has it any more. */
void shared_lun_close(struct shared_lun *s);

/*
 * A guest comes: it means the same disk, and gets an initiator port, the one that it had before if
 * it has the name and a registration there. Fills in @answer; 0 if @answer->err is. Any thread.
 */
int shared_lun_join(struct shared_lun *s, const struct shared_hello *hello,
		    struct shared_answer *answer, struct shared_initiator **initiator);
/* It goes. What is registered for it stays, and so does the reservation that it holds. */
void shared_lun_leave(struct shared_lun *s, struct shared_initiator *initiator);

/*
 * Serves the guest that is at the other end of @sock, until it goes or says what cannot be. Any
 * thread, which waits here; the guest's requests have another, whose lines go to @ear (log_send()).
 */
void shared_lun_serve(struct shared_initiator *initiator, int sock, int ear);

#endif
