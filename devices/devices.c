#include "devices/devices.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/log.h"

extern const struct device_class acpi_pm_class, console_port_class, nmi_status_class,
	pci_host_class, pvpanic_class, rng_class, rtc_class, scsi_cd_class, scsi_disk_class,
	serial_class, virtio_console_class, virtio_net_class, virtio_scsi_class;

const struct device_class *const device_classes[] = {
	&virtio_scsi_class,
	&scsi_disk_class,
	&scsi_cd_class,
	&virtio_console_class,
	&console_port_class,
	&virtio_net_class,
	&rng_class,
	&serial_class,
	&pci_host_class,
	&rtc_class,
	&pvpanic_class,
	&acpi_pm_class,
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
	char names[256] = "";
	size_t i, at = 0;

	for (i = 0; device_classes[i] && at < sizeof(names); i++)
		at += snprintf(names + at, sizeof(names) - at, "%s%s", i ? ", " : "",
			       device_classes[i]->name);
	log_err("--device %s: no such device; there are: %s", name, names);
}

static struct device *find_id(const struct device_list *list, const char *id)
{
	struct device *dev;

	for (dev = list->last; dev; dev = dev->next) {
		if (!strcmp(dev->id, id))
			return dev;
	}
	return NULL;
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

/* The oldest of a class: the guest finds it first. */
static const struct device *first_of(const struct device_list *list,
				     const struct device_class *class)
{
	const struct device *dev, *first = NULL;

	for (dev = list->last; dev; dev = dev->next) {
		if (dev->class == class)
			first = dev;
	}
	return first;
}

/* Is it on the first controller? */
static bool find_place(const struct device_list *list, const struct device *dev,
		       struct device_place *place)
{
	if (!dev->class->live)
		return false;
	dev->class->live->place(dev, place);
	return place->bus && place->bus == first_of(list, place->bus->class);
}

static struct device *find_lun(const struct device_list *list, const char *number)
{
	struct device_place place;
	struct device *dev;
	char lun[16];

	for (dev = list->last; dev; dev = dev->next) {
		if (!find_place(list, dev, &place) || place.target)
			continue;
		snprintf(lun, sizeof(lun), "%u", place.lun);
		if (!strcmp(lun, number))
			return dev;
	}
	return NULL;
}

struct device *device_named(const struct device_list *list, const char *name)
{
	bool by_lun = !strncmp(name, "lun:", 4);
	struct device *dev = by_lun ? find_lun(list, name + 4) : find_id(list, name);

	if (dev && dev->class->live)
		return dev;
	if (dev)
		log_err("%s: is a %s, which stays as it is while the guest runs", name,
			dev->class->name);
	else if (by_lun)
		log_err("%s: the first controller has no such LUN at its target 0", name);
	else
		log_err("%s: there is no device of this name; lun:N is LUN N", name);
	return NULL;
}

unsigned device_disk_rank(const struct device_list *list, const struct device *dev)
{
	struct device_place place, other;
	const struct device *d;
	unsigned rank = 0;

	dev->class->live->place(dev, &place);
	for (d = list->last; d; d = d->next)
		rank += find_place(list, d, &other) && other.disk &&
			(other.target < place.target ||
			 (other.target == place.target && other.lun < place.lun));
	return rank;
}

/* What follows the comma that ends an option; a double comma is part of it. */
static char *next_option(char *text)
{
	for (; *text; text++) {
		if (*text == ',' && *++text != ',')
			break;
	}
	return text;
}

/* Takes the first "id=NAME" out of the options. True: there was one, and @id has its beginning. */
static bool take_id(char *options, char *id, size_t size)
{
	char *text, *next;

	for (text = options; *text; text = next) {
		next = next_option(text);
		if (strncmp(text, "id=", 3))
			continue;
		snprintf(id, size, "%.*s", (int)strcspn(text + 3, ","), text + 3);
		memmove(text, next, strlen(next) + 1);
		if (!*text && text > options)
			text[-1] = 0;
		return true;
	}
	return false;
}

static int check_id(const struct device_list *list, const char *what, const char *id)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.";

	if (!*id || strlen(id) > DEVICE_ID_MAX || id[strspn(id, allowed)]) {
		log_err("%s: id=%s: 1 to %d of letters, digits, '-', '_' and '.' are wanted", what,
			id, DEVICE_ID_MAX);
		return -EINVAL;
	}
	if (find_id(list, id)) {
		log_err("%s: id=%s: another device has this name", what, id);
		return -EEXIST;
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

	if (take_id(options, wanted, sizeof(wanted))) {
		r = check_id(list, class->name, wanted);
		memcpy(id, wanted, DEVICE_ID_MAX + 1);
		return r;
	}
	do
		snprintf(id, DEVICE_ID_MAX + 1, "%s%u", class->name, n++);
	while (find_id(list, id));
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
	struct device *dev;
	int r = -EINVAL;

	if (!copy)
		return -ENOMEM;
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
	if (r == -ENOMEM)
		log_err("--device %s: out of memory", copy);
	free(copy);
	return r;
}

int device_plug(struct platform *p, struct device_list *list, const char *text,
		struct device **dev)
{
	size_t len = strcspn(text, ",");
	char name[64] = "";
	const struct device_class *class;
	int r;

	if (len < sizeof(name))
		memcpy(name, text, len);
	class = class_find(name);
	if (class && !class->live) {
		log_err("%s: cannot come while the guest runs", name);
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

	dev->class->destroy(dev);
	free(text);
}

int device_unplug(struct device_list *list, struct device *dev)
{
	int r = dev->class->live->unplug(dev);

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
		err = dev->class->live ? dev->class->live->keep(dev, folder) : 0;
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
