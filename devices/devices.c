/* SPDX-License-Identifier: MIT */
#include "devices/devices.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/virtio.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/near.h"
#include "vmm/core/state.h"

extern const struct device_class acpi_pm_class, console_port_class, goldfish_rtc_class, i8042_class,
	nmi_status_class, pci_host_class, pl031_class, pvpanic_class, rng_class, rtc_class,
	scsi_cd_class, scsi_disk_class, serial_class, shared_disk_class, vhost_user_blk_class,
	vhost_user_fs_class, vhost_user_net_class, vhost_user_scsi_class,
	vhost_vdpa_class, virtio_balloon_class, virtio_blk_class, virtio_console_class,
	virtio_net_class, virtio_scsi_class, virtio_vsock_class;

const struct device_class *const device_classes[] = {
	&virtio_scsi_class,
	&scsi_disk_class,
	&scsi_cd_class,
	&virtio_console_class,
	&console_port_class,
	&virtio_blk_class,
	&virtio_net_class,
	&virtio_vsock_class,
	&shared_disk_class,
	&vhost_user_blk_class,
	&vhost_user_scsi_class,
	&vhost_user_fs_class,
	&vhost_user_net_class,
	&vhost_vdpa_class,
	&rng_class,
	&virtio_balloon_class,
	&serial_class,
	&pci_host_class,
	&rtc_class,
	&pl031_class,
	&goldfish_rtc_class,
	&pvpanic_class,
	&acpi_pm_class,
	&i8042_class,
	&nmi_status_class,
	NULL,
};

static const struct opt common_opts[] = {
	{ .key = "id", .type = OPT_STR, .arg = "NAME", .help = "name of the device" },
	{ 0 }
};

static const struct device_class *class_find(const char *name)
{
	size_t i;

	for (i = 0; device_classes[i]; i++) {
		if (!strcmp(device_classes[i]->name, name))
			return device_classes[i];
	}
	return NULL;
}

static void report_unknown_class(const char *name)
{
	char names[256] = "", meant[NEAR_TEXT];
	struct near near = { 0 };
	size_t i, at = 0;

	near_begin(&near, name);
	for (i = 0; device_classes[i] && at < sizeof(names); i++) {
		near_try(&near, device_classes[i]->name);
		at += snprintf(names + at, sizeof(names) - at, "%s%s", i ? ", " : "",
			       device_classes[i]->name);
	}
	if (near.best)
		log_err("--device %s: no such device%s", name, near_text(&near, "", meant));
	else
		log_err("--device %s: no such device; there are: %s", name, names);
}

struct device *device_find(const struct device_list *list, const char *class_name, const char *id)
{
	struct device *dev;

	for (dev = list->last; dev; dev = dev->next) {
		if (!strcmp(dev->class->name, class_name) && (!id || !strcmp(dev->id, id)))
			return dev;
	}
	return NULL;
}

static int check_id(const struct device_list *list, const char *what, const char *id)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.";

	if (!*id || strlen(id) > DEVICE_ID_MAX || id[strspn(id, allowed)]) {
		log_err("%s: id=%s: 1 to %d of letters, digits, '-', '_' and '.' are wanted", what,
			id, DEVICE_ID_MAX);
		return -EUSAGE;
	}
	if (device_by_id(list, id)) {
		log_err("%s: id=%s: another device has this name", what, id);
		return -EUSAGE;
	}
	return 0;
}

/* The device's name: the user's, or the first free one of the class. */
static int choose_id(const struct device_list *list, const struct device_class *class,
		     char *options, char id[DEVICE_ID_MAX + 1])
{
	char wanted[64] = "";
	unsigned n = 0;
	int r;

	if (device_take_option(options, "id=", wanted, sizeof(wanted))) {
		if (device_take_option(options, "id=", wanted, sizeof(wanted))) {
			log_err("%s: id=%s: given twice; one of them has to go", class->name,
				wanted);
			return -EUSAGE;
		}
		r = check_id(list, class->name, wanted);
		memcpy(id, wanted, DEVICE_ID_MAX + 1);
		return r;
	}
	do
		snprintf(id, DEVICE_ID_MAX + 1, "%s%u", class->nick ? class->nick : class->name,
			 n++);
	while (device_by_id(list, id));
	return 0;
}

static int class_create(const struct device_class *class, struct platform *p,
			struct device_list *list, const char *id, char *options,
			struct device **dev)
{
	static const struct opt none[] = { { 0 } };
	const struct opt *opts = class->opts ? class->opts : none;
	void *cfg = calloc(1, class->cfg_size + 1);
	int r;

	if (!cfg)
		return -ENOMEM;
	r = opt_parse(opts, cfg, class->name, class->first_opt, *options ? options : NULL);
	if (!r)
		r = class->create(p, list, id, cfg, dev);
	opt_free(opts, cfg);
	free(cfg);
	return r;
}

int device_create(struct platform *p, struct device_list *list, const char *text)
{
	char *copy = strdup(text), *options, id[DEVICE_ID_MAX + 1];
	const struct device_class *class;
	unsigned before = log_errors();
	struct device *dev;
	int r = -EUSAGE;

	if (!copy)
		return log_if_silent(before, text, -ENOMEM);
	options = copy + strcspn(copy, ",");
	if (*options)
		*options++ = 0;
	class = class_find(copy);
	if (!class) {
		report_unknown_class(copy);
		goto free;
	}
	r = choose_id(list, class, options, id);
	if (r < 0)
		goto free;
	r = class_create(class, p, list, id, options, &dev);
	if (r < 0)
		goto free;
	dev->class = class;
	memcpy(dev->id, id, sizeof(id));
	dev->text = copy;
	dev->next = list->last;
	list->last = dev;
	return 0;

free:
	log_if_silent(before, copy, r);
	free(copy);
	return r;
}

static void each_written(const struct device_class *class, char *options, opt_hear *fn, void *arg)
{
	void *cfg = calloc(1, class->cfg_size + 1);
	char id[64];

	while (device_take_option(options, "id=", id, sizeof(id)))
		;
	if (cfg && opt_parse(class->opts, cfg, class->name, class->first_opt, options) == 0)
		opt_each_written(class->opts, cfg, fn, arg);
	if (cfg)
		opt_free(class->opts, cfg);
	free(cfg);
}

void device_each_written(const char *text, opt_hear *fn, void *arg)
{
	char *copy = strdup(text), *options = copy ? copy + strcspn(copy, ",") : NULL, heard[8];
	const struct device_class *class;

	if (options && *options) {
		*options++ = 0;
		class = class_find(copy);
		log_hear(heard, sizeof(heard));
		if (class && class->opts)
			each_written(class, options, fn, arg);
		log_hear(NULL, 0);
	}
	free(copy);
}

static const struct device_class *class_of(const char *text)
{
	size_t len = strcspn(text, ",");
	char name[64] = "";

	if (len < sizeof(name))
		memcpy(name, text, len);
	return class_find(name);
}

bool device_shares_memory(const char *text)
{
	const struct device_class *class = class_of(text);

	return class && class->shares_memory;
}

int device_plug(struct platform *p, struct device_list *list, const char *text,
		struct device **dev)
{
	const struct device_class *class = class_of(text);
	int r;

	if (class && !class->hotplug) {
		log_err("%s: cannot come while the guest runs%s", class->name,
			class->medium ? "; a SCSI disk can: leave on=blk out" : "");
		return -EOPNOTSUPP;
	}
	r = device_create(p, list, text);
	if (!r)
		*dev = list->last;
	return r;
}

static void take_out(struct device_list *list, const struct device *dev)
{
	struct device **at = &list->last;

	while (*at != dev)
		at = &(*at)->next;
	*at = dev->next;
}

static void destroy(struct device *dev)
{
	char *text = dev->text;

	free(dev->fresh);
	dev->class->destroy(dev);
	free(text);
}

int device_unplug(struct device_list *list, struct device *dev)
{
	int r = dev->class->hotplug->unplug(dev);

	if (r < 0)
		return r;
	r = dev->class->finish ? dev->class->finish(dev) : 0;
	take_out(list, dev);
	destroy(dev);
	return r;
}

/* In the order of their making, which the list has backwards. */
static int each_device(struct device *last, int (*fn)(struct device *dev, FILE *out), FILE *out)
{
	int r = last->next ? each_device(last->next, fn, out) : 0;

	return r ? r : fn(last, out);
}

static int device_ready(struct device *dev, FILE *out)
{
	(void)out;
	return dev->class->ready ? dev->class->ready(dev) : 0;
}

int device_ready_all(const struct device_list *list)
{
	return list->last ? each_device(list->last, device_ready, NULL) : 0;
}

uint64_t device_memory_all(const struct device_list *list)
{
	const struct device *dev;
	uint64_t sum = 0;

	for (dev = list->last; dev; dev = dev->next)
		sum += dev->class->memory ? dev->class->memory(dev) : 0;
	return sum;
}

void device_pause_all(const struct device_list *list, bool paused)
{
	struct device *dev;

	for (dev = list->last; dev; dev = dev->next) {
		if (dev->class->virtio)
			virtio_device_pause(dev->class->virtio(dev), paused);
	}
}

void device_state_all(void *list, struct state *s)
{
	struct device *dev;
	char id[DEVICE_ID_MAX + 1];

	for (dev = ((struct device_list *)list)->last; dev; dev = dev->next) {
		memset(id, 0, sizeof(id));
		memcpy(id, dev->id, strlen(dev->id));
		state_bytes(s, id, sizeof(id));
		state_check(s, !id[DEVICE_ID_MAX] && !strcmp(id, dev->id));
		if (dev->class->virtio)
			virtio_state(dev->class->virtio(dev), s);
		if (dev->class->state)
			dev->class->state(dev, s);
	}
}

void device_drain_all(const struct device_list *list)
{
	struct device *dev;

	for (dev = list->last; dev; dev = dev->next) {
		if (dev->class->drain)
			dev->class->drain(dev);
	}
}

int device_finish_all(const struct device_list *list)
{
	struct device *dev;
	int r = 0, err;

	for (dev = list->last; dev; dev = dev->next) {
		err = dev->class->finish ? dev->class->finish(dev) : 0;
		r = r ? r : err;
	}
	return r;
}

int device_keep_all(const struct device_list *list, int folder)
{
	struct device *dev;
	int r = 0, err;

	for (dev = list->last; dev; dev = dev->next) {
		err = dev->class->medium ? dev->class->medium->keep(dev, folder) : 0;
		r = r ? r : err;
	}
	return r;
}

static int device_explain(struct device *dev, FILE *out)
{
	fprintf(out, "%s: %s\n", dev->id, dev->class->help);
	if (dev->class->explain)
		dev->class->explain(dev, out);
	return 0;
}

void device_explain_all(const struct device_list *list, FILE *out)
{
	if (list->last)
		each_device(list->last, device_explain, out);
}

int device_clean_all(FILE *out)
{
	size_t i;
	int r = 0, err;

	for (i = 0; device_classes[i]; i++) {
		err = device_classes[i]->clean ? device_classes[i]->clean(out) : 0;
		if (!r)
			r = err;
	}
	return r;
}

void device_destroy_all(struct device_list *list)
{
	struct device *dev;

	while ((dev = list->last)) {
		list->last = dev->next;
		destroy(dev);
	}
}

static void class_help(const struct device_class *class, FILE *out)
{
	fprintf(out, "%s: %s\n", class->name, class->help);
	if (class->opts)
		opt_help(class->opts, "", out);
	opt_help(common_opts, "", out);
}

bool device_help(const char *class_name, FILE *out)
{
	const struct device_class *class;
	size_t i;

	if (class_name) {
		class = class_find(class_name);
		if (class)
			class_help(class, out);
		return class;
	}
	for (i = 0; device_classes[i]; i++)
		class_help(device_classes[i], out);
	return true;
}
