/* SPDX-License-Identifier: MIT */
/*
 * devices.h - what the guest finds, and THE TABLE of what there can be.
 *
 * A device class is one file: its settings, their option rows, its behaviour,
 * and one struct device_class, which is named in the table of devices.c. From
 * that line alone come the help text, option checks, creation and teardown.
 *
 *	--device CLASS,key=value,...
 *
 * Devices are created in the order of the command line and destroyed in the
 * reverse order. One device may need another ("bus=s0"): it finds it by name
 * among those created before.
 */
#ifndef DEVICES_DEVICES_H
#define DEVICES_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "vmm/core/opt.h"

struct device_list;
struct platform;
struct state;
struct virtio_device;

#define DEVICE_ID_MAX 15

/* The head of each device. Set by devices.c once the class has built the rest. */
struct device {
	const struct device_class *class;
	char id[DEVICE_ID_MAX + 1]; /* "s0"; the class's name and a number by default */
	char *text;                 /* what it was made from: strings of settings point into it */
	struct device *next;        /* created before this one */
	uint8_t *fresh;             /* what it was when no guest had touched it; NULL: not kept */
	size_t fresh_len;
};

/* Where a LUN is. */
struct device_place {
	const struct device *bus; /* the first one, if it is on several */
	unsigned target, lun;
	bool disk; /* false: of another type, which guests name otherwise */
};

/* Who hears facts of a device, one after the other; a key is a word. */
struct device_facts {
	void (*text)(struct device_facts *to, const char *key, const char *value);
	void (*number)(struct device_facts *to, const char *key, uint64_t value);
	void (*numbers)(struct device_facts *to, const char *key, const uint64_t *value,
			unsigned count);
};

/*
 * What can be done while the guest runs, by what a class is: where it has one of these, each
 * function is there. Those that return int return -errno after one line, and then nothing has been
 * done. [main]
 */
/* It may come and go: create() is [main] then, too. */
struct device_hotplug {
	/* The guest loses it; finish() and destroy() are next. */
	int (*unplug)(struct device *dev);
};

/* It holds a medium. */
struct device_medium {
	/* Changes its size, and that of its file. Bytes. */
	int (*resize)(struct device *dev, uint64_t size);
	int (*eject)(struct device *dev);
	/* @file NULL: the medium that is there, where the guest itself has opened the tray. */
	int (*insert)(struct device *dev, const char *file);
	/* Replaces the rules by which it fails; "": it does not. */
	int (*fault)(struct device *dev, const char *rules);
	/* Where changes are kept apart: the disk as the guest left it becomes a file in @folder,
	 * which is open. No vCPU runs. */
	int (*keep)(struct device *dev, int folder);
};

/* It is a SCSI LUN. */
struct device_lun {
	void (*place)(const struct device *dev, struct device_place *place);
	/* How a disk on several buses is to be used by one of them, from now on. */
	int (*path)(struct device *dev, const char *bus, const char *state);
};

/* It takes memory from the guest; facts() say how much, and what the guest says of the rest. */
struct device_balloon {
	/* Bytes that the guest is to have; it comes to that by and by. */
	int (*resize)(struct device *dev, uint64_t size);
	/* Asks the guest for newer statistics. */
	int (*ask)(struct device *dev);
};

struct device_class {
	const char *name;
	const char *nick;        /* what its devices are called, with a number; NULL: @name */
	const char *help;        /* one sentence for "--device help" */
	const struct opt *opts;  /* NULL: none; "id=NAME" is taken for every class */
	const char *first_opt;   /* key of a leading value without one, or NULL */
	size_t cfg_size;         /* of the struct of settings that the option rows describe */
	/*
	 * Builds one. @cfg is the class's settings, valid during the call only, but for its
	 * strings, which live as long as the device. -EUSAGE: the text is wrong, whatever there is
	 * on this machine; other -errno: it cannot be had. After one line (-ENOMEM: without one);
	 * nothing is left then. [setup]
	 */
	int (*create)(struct platform *p, struct device_list *list, const char *id, const void *cfg,
		      struct device **dev);
	void (*destroy)(struct device *dev);

	/* The rest may be NULL: nothing to do. */

	bool shares_memory; /* another process serves it, and maps the guest's memory */
	const struct device_hotplug *hotplug;
	const struct device_medium *medium;
	const struct device_lun *lun;
	const struct device_balloon *balloon;
	/* What it is. */
	void (*facts)(const struct device *dev, struct device_facts *to);
	/* What it has done until now. -errno after one line: another counts. [main] */
	int (*counters)(struct device *dev, struct device_facts *to);

	/* All devices have been made; they are asked in that order, and no vCPU runs yet. -errno
	 * after one line. [setup] */
	int (*ready)(struct device *dev);
	/* Its virtio side, which does something of its own accord, and so is paused; it is visited
	 * with its class's state(). NULL: it has none. [main] */
	struct virtio_device *(*virtio)(struct device *dev);
	/* Visits what else a guest can change (state.h). NULL: nothing. No vCPU runs. [main] */
	void (*state)(struct device *dev, struct state *s);
	/* No vCPU runs any more: what the guest has said is written, or is known to be lost. */
	void (*drain)(struct device *dev);
	/* The guest has powered itself off, and no vCPU runs any more: what is to be kept of the
	 * run is kept now. -errno after one line. */
	int (*finish)(struct device *dev);
	/* What a guest must find: a virtio device with this ID; 0: what expect() says. */
	uint32_t virtio_id;
	/* That, in the words of guest/job.h: "lun" with target and LUN, for each controller that
	 * has it; "port" with a name; "virtio" with an ID. The device need not be ready. */
	void (*expect)(const struct device *dev, struct device_facts *to);
	/* Bytes that a guest may make it take beyond what it has when it is ready. */
	uint64_t (*memory)(const struct device *dev);
	/* For --explain: lines, indented by two, about what was chosen and why. */
	void (*explain)(const struct device *dev, FILE *out);
	/* Removes what killed runs have left on the host; a line for each. -errno after one line
	 * for each that cannot be removed. */
	int (*clean)(FILE *out);
};

/* All zero: empty. */
struct device_list {
	struct device *last;
};

extern const struct device_class *const device_classes[]; /* ends with NULL */

/* Creates a device from "CLASS,key=value,...", which is copied. -errno after one line. [setup] */
int device_create(struct platform *p, struct device_list *list, const char *text);
/* Is it for another process to serve, so that the guest's memory has to be shared? */
bool device_shares_memory(const char *text);
/* What such a device would write to; of a text that makes no sense nothing is said. */
void device_each_written(const char *text, opt_hear *fn, void *arg);
/* All of them make their last choices. -errno after one line. [setup] */
int device_ready_all(const struct device_list *list);
/* What they may take, all together. */
uint64_t device_memory_all(const struct device_list *list);
/* From now on they do nothing, and nothing is in flight; or they go on. No vCPU runs. [main] */
void device_pause_all(const struct device_list *list, bool paused);
/*
 * A state_visit_fn, of a struct device_list whose devices are paused; so they are once they have
 * been restored. Those that are restored have been made from the same texts.
 */
void device_state_all(void *list, struct state *s);
/*
 * For a guest that starts again (device_reset.c). The first one keeps what registers are while no
 * guest has touched them; the second one makes them so again, of devices that are paused. Disks
 * stay as they are, and what was plugged stays; a new driver finds LUNs as after power on. -errno
 * after one line. [setup; main]
 */
int device_keep_fresh(const struct device_list *list);
int device_reset_all(const struct device_list *list);
/* All that the guest has said is written. */
void device_drain_all(const struct device_list *list);
/* All of them keep what is to be kept; -errno: one of them could not. */
int device_finish_all(const struct device_list *list);
/*
 * Instead of that: disks whose changes are to vanish are left in @folder, as files named for the
 * device; a line for each. -errno: one of them could not.
 */
int device_keep_all(const struct device_list *list, int folder);
/* All of them, the last one first. No vCPU runs any more. */
void device_destroy_all(struct device_list *list);

/*
 * As device_create(), and device_destroy() of one, while the guest runs: of classes with hotplug.
 * -errno after one line. device_unplug() returns that, too, when the device is gone, but what was
 * to be kept of it could not be. [main]
 */
int device_plug(struct platform *p, struct device_list *list, const char *text,
		struct device **dev);
int device_unplug(struct device_list *list, struct device *dev);

/* device_name.c */

/* NULL: there is none. */
struct device *device_by_id(const struct device_list *list, const char *id);
/*
 * A device that can change while the guest runs, by the name that users call it: its id, "lun:N"
 * for LUN N of target 0 of the first controller, or "blk:N". NULL, after one line: there is none.
 */
struct device *device_named(const struct device_list *list, const char *name);
/*
 * The virtio disk with this number, whoever serves it: 0 is the first that was made, which Linux
 * calls vda where all of them are on one transport. After device_ready_all(). NULL: there is none.
 */
struct device *device_blk(const struct device_list *list, const char *number);
/*
 * How many disks the guest's first controller has before this one: what Linux calls sda has none,
 * if it finds disks in order.
 */
unsigned device_disk_rank(const struct device_list *list, const struct device *dev);

/*
 * What "--disk" takes, FILE[,on=scsi|blk][,...], as a device's text; free()d by the caller.
 * -EUSAGE after one line, -ENOMEM.
 */
int device_of_disk(const char *text, char **device);
/* Has it shared=NAME, so that another process serves it? */
bool device_disk_is_shared(const char *text);
/* Takes the first KEY=TEXT out of options; @key has the "=". True: @text is its beginning. */
bool device_take_option(char *options, const char *key, char *text, size_t size);

/* devices.c */

/* The device with this id and class name; @id NULL: the newest one of the class. NULL: none. */
struct device *device_find(const struct device_list *list, const char *class_name, const char *id);

/* Prints each device, what was chosen for it, and why; after device_ready_all(). */
void device_explain_all(const struct device_list *list, FILE *out);
/* Removes what killed runs have left on the host. -errno: not all of it. */
int device_clean_all(FILE *out);
/* The process that serves a shared disk: see shared_broker.h. */
int device_serve_shared(int argc, char **argv, int (*confine)(void));

/* Prints a class and its options; NULL: all classes. False: there is no such class. */
bool device_help(const char *class_name, FILE *out);

#endif
