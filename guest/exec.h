/* SPDX-License-Identifier: MIT */
/*
 * exec.h - what "lunette ctl PATH exec", lunette and the guest's init say to each other about
 * commands that run while the guest does.
 *
 * They do so in frames: on EXEC_PORT, a named port of a console device, where all commands are,
 * each by its number; and on the control socket of one client, once it has asked for "exec", where
 * its one command is number 0. lunette numbers, checks and passes on; it makes no sense of more
 * than that.
 *
 * A frame is a head of 8 bytes and up to EXEC_DATA_MAX of data:
 *
 *	le16  bytes of data
 *	u8    its kind, below
 *	u8    0
 *	le32  number of the command
 *
 * Of each stream (stdin, stdout, stderr) no more than EXEC_WINDOW bytes, heads included, are under
 * way: who reads it says EXEC_TAKEN when it has, and who writes it waits for that. So a stream
 * that nobody reads stands still alone, and nobody in between has to keep more.
 *
 * A command is described by records that end with a NUL:
 *
 *	env=NAME=VALUE    in its environment, beside that of the guest's own command
 *	cwd=PATH          where it runs; else where the guest's command does, or at home
 *	user=WHO          as whom, NAME or NUMBER, and perhaps :GROUP; otherwise as root
 *	tty=ROWS COLUMNS  it has a terminal, of this size; 0 0: of an unknown one
 *	arg=TEXT          it and its arguments
 *	go                which begins it
 *
 * The guest's init may begin anew, in the middle of whatever was said: it says EXEC_HELLO with
 * EXEC_NONCE bytes, and takes nothing that comes before EXEC_MARK with the same bytes behind it.
 */
#ifndef GUEST_EXEC_H
#define GUEST_EXEC_H

#include <stdint.h>

#define EXEC_PORT "lunette.exec"

/* On the kernel's command line: there is such a port. */
#define EXEC_WORD "lunette.exec"

#define EXEC_HEAD 8
#define EXEC_FRAME_MAX 16384 /* two of them are what Linux takes for a port at a time */
#define EXEC_DATA_MAX (EXEC_FRAME_MAX - EXEC_HEAD)
#define EXEC_WINDOW 65536
#define EXEC_TAKEN_STEP (EXEC_WINDOW / 4) /* so much is said to be taken at a time */
#define EXEC_SPEC_MAX (96u << 10)	  /* bytes of all records */
#define EXEC_COMMANDS_MAX 128		  /* at a time, for one guest */

#define EXEC_MARK "lunette.exec:go\n" /* without its NUL */
#define EXEC_MARK_LEN 16
#define EXEC_NONCE 16

enum exec_stream { EXEC_STDIN, EXEC_STDOUT, EXEC_STDERR, EXEC_STREAMS };

enum exec_kind {
	/* To the guest. */
	EXEC_SPEC = 1, /* a piece of the records */
	EXEC_IN,       /* of its stdin; none: that is its end */
	EXEC_SIGNAL,   /* u8: for its process group */
	EXEC_SIZE,     /* le16 rows, le16 columns: of its terminal */
	EXEC_SHUT,     /* u8, a stream: nobody reads it any more */
	EXEC_GONE,     /* so has its client: the command is ended. By lunette alone */
	/* Both ways. */
	EXEC_TAKEN, /* u8, a stream; le32: so many bytes of it, heads included */
	/* From the guest. */
	EXEC_HELLO,   /* EXEC_NONCE bytes, of command 0 */
	EXEC_STARTED, /* it runs */
	EXEC_OUT,     /* of its stdout */
	EXEC_ERR,     /* of its stderr */
	EXEC_FAILED,  /* a text: it does not run, and why. The last frame */
	EXEC_EXIT,    /* u8: its status. The last frame */
	EXEC_KILLED,  /* u8: the signal that ended it. The last frame */
	/* By lunette alone. */
	EXEC_READY, /* the guest's init is there */
	EXEC_LOST,  /* u8: lunette's status; a text: what has become of the guest. The last frame */
	EXEC_KINDS
};

#define EXEC_TAKEN_LEN 5
#define EXEC_SIZE_LEN 4
#define EXEC_TEXT_MAX 512 /* bytes of a text */

struct exec_head {
	unsigned len;
	uint8_t kind, zero;
	uint32_t id;
};

static inline void exec_put(uint8_t *to, uint32_t value, unsigned bytes)
{
	while (bytes--) {
		*to++ = (uint8_t)value;
		value >>= 8;
	}
}

static inline uint32_t exec_get(const uint8_t *from, unsigned bytes)
{
	uint32_t value = 0;

	while (bytes--)
		value = value << 8 | from[bytes];
	return value;
}

static inline void exec_head_put(uint8_t to[EXEC_HEAD], enum exec_kind kind, uint32_t id,
				 unsigned len)
{
	exec_put(to, len, 2);
	to[2] = (uint8_t)kind;
	to[3] = 0;
	exec_put(to + 4, id, 4);
}

static inline struct exec_head exec_head_get(const uint8_t from[EXEC_HEAD])
{
	return (struct exec_head){ exec_get(from, 2), from[2], from[3], exec_get(from + 4, 4) };
}

#endif
