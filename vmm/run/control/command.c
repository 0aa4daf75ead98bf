/* SPDX-License-Identifier: MIT */
#include "vmm/run/control/command.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/devices.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/near.h"
#include "vmm/core/opt.h"
#include "vmm/core/text.h"
#include "vmm/core/util.h"
#include "vmm/run/facts.h"

struct command_args {
	const char *text, *id, *file, *rules, *bus, *state;
	const char *key;
	uint64_t size;
	uint32_t cpu;
};

/* Commands. */

static int answer_with(struct device *dev, json_t *answer)
{
	facts_add(answer, dev, facts_id);
	return facts_add(answer, dev, facts_live);
}

/* Takes @device over. */
static int plug_device(const struct command_host *host, char *device, json_t *answer)
{
	struct device *dev;
	int r = device_plug(host->platform, host->devices, device, &dev);

	free(device);
	return r < 0 ? r : answer_with(dev, answer);
}

static int plug(const struct command_host *host, const struct command_args *args, json_t *answer)
{
	char *device;
	int r = device_of_disk(args->text, &device);

	return r < 0 ? r : plug_device(host, device, answer);
}

static int plug_cdrom(const struct command_host *host, const struct command_args *args,
		      json_t *answer)
{
	const char *text = args->text;
	char *device;

	if (asprintf(&device, "scsi-cd%s%s", text ? "," : "", text ? text : "") < 0)
		return -ENOMEM;
	return plug_device(host, device, answer);
}

/* One that @can, or NULL after one line. */
static struct device *only_scsi(struct device *dev, const void *can, const char *what)
{
	if (!dev || can)
		return dev;
	log_err("%s: is a %s; %s are for SCSI disks", dev->id, dev->class->name, what);
	return NULL;
}

static int unplug(const struct command_host *host, const struct command_args *args, json_t *answer)
{
	struct device *dev = device_named(host->devices, args->id);

	(void)answer;
	dev = only_scsi(dev, dev ? dev->class->hotplug : NULL, "plug and unplug");
	if (!dev)
		return -ENODEV;
	if (host->leaves)
		host->leaves(host->arg, dev);
	return device_unplug(host->devices, dev);
}

static int resize(const struct command_host *host, const struct command_args *args, json_t *answer)
{
	struct device *dev = device_named(host->devices, args->id);
	int r = dev ? dev->class->medium->resize(dev, args->size) : -ENODEV;

	return r < 0 ? r : answer_with(dev, answer);
}

static int eject(const struct command_host *host, const struct command_args *args, json_t *answer)
{
	struct device *dev = device_named(host->devices, args->id);
	int r = dev ? dev->class->medium->eject(dev) : -ENODEV;

	return r < 0 ? r : answer_with(dev, answer);
}

static int insert(const struct command_host *host, const struct command_args *args, json_t *answer)
{
	struct device *dev = device_named(host->devices, args->id);
	int r = dev ? dev->class->medium->insert(dev, args->file) : -ENODEV;

	return r < 0 ? r : answer_with(dev, answer);
}

static int fault(const struct command_host *host, const struct command_args *args, json_t *answer)
{
	struct device *dev = device_named(host->devices, args->id);

	(void)answer;
	if (!dev)
		return -ENODEV;
	return dev->class->medium->fault(dev, strcmp(args->rules, "clear") ? args->rules : "");
}

static int path(const struct command_host *host, const struct command_args *args, json_t *answer)
{
	struct device *dev = device_named(host->devices, args->id);
	int r = -ENODEV;

	dev = only_scsi(dev, dev ? dev->class->lun : NULL, "paths");
	if (dev)
		r = dev->class->lun->path(dev, args->bus, args->state);
	return r < 0 ? r : answer_with(dev, answer);
}

/* What fn says of each device, or of one, as a list of that name, the oldest first. */
static int list_devices(const struct command_host *host, struct device *only, const char *name,
			facts_fn *fn, json_t *answer)
{
	json_t *list = json_array();
	struct device *dev;
	int r = 0;

	for (dev = only ? only : host->devices->last; dev; dev = only ? NULL : dev->next) {
		json_t *object = json_object();

		facts_add(object, dev, facts_id);
		r = facts_add(object, dev, fn);
		if (r < 0)
			json_decref(object);
		else
			json_array_insert_new(list, 0, object);
	}
	json_object_set_new(answer, name, list);
	return only ? r : 0;
}

static int device_facts(struct device *dev, struct device_facts *to)
{
	to->text(to, "class", dev->class->name);
	facts_live(dev, to);
	return 0;
}

/* Without a size it asks for newer statistics, which come later: the answer has what there is. */
static int balloon(const struct command_host *host, const struct command_args *args,
		   json_t *answer)
{
	struct device *dev = host->devices->last;
	int r;

	while (dev && !dev->class->balloon)
		dev = dev->next;
	if (!dev) {
		log_err("balloon: the guest has none; lunette run --balloon gives it one");
		return -ENODEV;
	}
	r = args->size ? dev->class->balloon->resize(dev, args->size) :
			 dev->class->balloon->ask(dev);
	return r < 0 ? r : answer_with(dev, answer);
}

static int devices(const struct command_host *host, const struct command_args *args,
		   json_t *answer)
{
	(void)args;
	return list_devices(host, NULL, "devices", device_facts, answer);
}

static int counters(const struct command_host *host, const struct command_args *args,
		    json_t *answer)
{
	struct device *only = NULL;

	if (args->id) {
		only = device_by_id(host->devices, args->id);
		if (!only || !only->class->balloon)
			only = device_named(host->devices, args->id);
		if (!only)
			return -ENODEV;
	}
	/* Those that count nothing here are left out of a list of all. */
	return list_devices(host, only, "counters", facts_counters, answer);
}

static int pause_guest(const struct command_host *host, const struct command_args *args,
		       json_t *answer)
{
	(void)args;
	(void)answer;
	return host->pause(host->arg, true);
}

static int resume(const struct command_host *host, const struct command_args *args, json_t *answer)
{
	(void)args;
	(void)answer;
	return host->pause(host->arg, false);
}

static int sysrq(const struct command_host *host, const struct command_args *args, json_t *answer)
{
	const char *key = args->key;

	(void)answer;
	if (key[0] > ' ' && key[0] <= '~' && !key[1])
		return host->sysrq(host->arg, key[0]);
	log_err("sysrq %s: one key is wanted, as in sysrq h, which has the kernel print them all",
		key);
	return -EUSAGE;
}

static int nmi(const struct command_host *host, const struct command_args *args, json_t *answer)
{
	(void)answer;
	return host->nmi(host->arg, args->cpu);
}

static int dump(const struct command_host *host, const struct command_args *args, json_t *answer)
{
	(void)answer;
	return host->dump(host->arg, args->file);
}

/* The rest is said in frames (guest/exec.h), to somebody else. */
static int exec(const struct command_host *host, const struct command_args *args, json_t *answer)
{
	(void)args;
	(void)answer;
	return host->exec(host->arg) < 0 ? -EBUSY : 1;
}

static int quit(const struct command_host *host, const struct command_args *args, json_t *answer)
{
	(void)args;
	(void)answer;
	host->quit(host->arg);
	return 0;
}

#define ARG(name) .key = #name, .offset = offsetof(struct command_args, name)
#define ARG_ID { ARG(id), .type = OPT_STR, .arg = "ID", .help = "its name, lun:N or blk:N" }

static const struct opt no_args[] = { { 0 } };
static const struct opt id_args[] = { ARG_ID, { 0 } };
static const struct opt plug_args[] = {
	{ ARG(text), .type = OPT_STR, .arg = "FILE[,KEY=VALUE...]", .help = "as after --disk" },
	{ 0 }
};
static const struct opt resize_args[] = {
	ARG_ID,
	{ ARG(size), .type = OPT_SIZE, .min = 512, .max = 1ull << 62, .arg = "SIZE",
	  .help = "bytes" },
	{ 0 }
};
static const struct opt balloon_args[] = {
	{ ARG(size), .type = OPT_SIZE, .min = MIB(1), .max = GIB(512), .arg = "SIZE",
	  .help = "bytes that the guest is to have" },
	{ 0 }
};
static const struct opt insert_args[] = {
	ARG_ID,
	{ ARG(file), .type = OPT_STR, .arg = "FILE", .help = "the medium" },
	{ 0 }
};
static const struct opt sysrq_args[] = {
	{ ARG(key), .type = OPT_STR, .arg = "KEY", .help = "a letter or digit; h lists them" },
	{ 0 }
};
static const struct opt nmi_args[] = {
	{ ARG(cpu), .type = OPT_U32, .max = 63, .arg = "CPU", .help = "its number, from 0" },
	{ 0 }
};
static const struct opt dump_args[] = {
	{ ARG(file), .type = OPT_STR, .arg = "FILE", .help = "a new file" },
	{ 0 }
};
static const struct opt fault_args[] = {
	ARG_ID,
	{ ARG(rules), .type = OPT_STR, .arg = "RULES|clear", .help = "as after fault=" },
	{ 0 }
};
static const struct opt path_args[] = {
	ARG_ID,
	{ ARG(bus), .type = OPT_STR, .arg = "BUS", .help = "the controller, one of several" },
	{ ARG(state), .type = OPT_STR, .arg = "STATE",
	  .help = "optimized, non-optimized, standby, unavailable or fails" },
	{ 0 }
};

const struct command commands[] = {
	{ "plug", plug_args, 1, "a new disk; what --disk takes", plug },
	{ "plug-cdrom", plug_args, 0, "a new CD-ROM drive; without a file it is empty",
	  plug_cdrom },
	{ "unplug", id_args, 1, "the guest loses a disk or drive; ID: its name, or lun:N",
	  unplug },
	{ "resize", resize_args, 2, "a disk, and its file, get another size", resize },
	{ "eject", id_args, 1, "takes the medium out", eject },
	{ "insert", insert_args, 1, "puts a medium in; without a file the one in the open tray",
	  insert },
	{ "fault", fault_args, 2, "how a disk fails from now on", fault },
	{ "path", path_args, 3, "how a disk on several controllers is reached by one", path },
	{ "balloon", balloon_args, 0,
	  "how much memory the guest has, and says of it; or is to have", balloon },
	{ "counters", id_args, 0, "what disks, drives and a balloon have done", counters },
	{ "devices", no_args, 0, "what there is", devices },
	{ "pause", no_args, 0, "the guest stands still, with nothing in flight", pause_guest },
	{ "resume", no_args, 0, "and goes on", resume },
	{ "sysrq", sysrq_args, 1, "a key for the guest's kernel, which answers on its console",
	  sysrq },
	{ "nmi", nmi_args, 0, "a vCPU, 0 or CPU, gets an NMI, at which the guest's kernel panics",
	  nmi },
	{ "dump", dump_args, 1, "the guest's memory and registers, as a core for crash or gdb",
	  dump },
	{ "exec", no_args, 0, "a command in the guest", exec },
	{ "quit", no_args, 0, "ends the run at once", quit },
	{ 0 }
};

/* From text to a command and back. */

const struct command *command_find(const char *name)
{
	const struct command *c;
	char meant[NEAR_TEXT];
	struct near near;

	near_begin(&near, name);
	for (c = commands; c->name; c++) {
		if (!strcmp(c->name, name))
			return c;
		near_try(&near, c->name);
	}
	log_err("%s: is no command%s", name,
		*near_text(&near, "", meant) ? meant : "; lunette ctl --help lists them");
	return NULL;
}

static const struct command *command_of(const json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "do"));

	if (name)
		return command_find(name);
	log_err("a JSON object is wanted, as {\"do\":\"devices\"}");
	return NULL;
}

static const struct opt *find_arg(const struct command *c, const char *key)
{
	const struct opt *o;

	for (o = c->args; o->key; o++) {
		if (!strcmp(o->key, key))
			return o;
	}
	log_err("%s: '%s': it has no such argument", c->name, key);
	return NULL;
}

static int take_arg(const struct command *c, struct command_args *args, const char *key,
		    const json_t *value)
{
	const struct opt *o = find_arg(c, key);
	char number[24];

	if (!o)
		return -EUSAGE;
	if (json_is_string(value))
		return opt_set(c->args, args, c->name, key, json_string_value(value));
	if ((o->type != OPT_SIZE && o->type != OPT_U32) || !json_is_integer(value)) {
		log_err("%s: %s: a string is wanted", c->name, key);
		return -EUSAGE;
	}
	snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	return opt_set(c->args, args, c->name, key, number);
}

static int take_args(const struct command *c, struct command_args *args, json_t *request)
{
	const char *key;
	json_t *value;
	unsigned i;
	int r = 0;

	json_object_foreach(request, key, value) {
		r = strcmp(key, "do") ? take_arg(c, args, key, value) : 0;
		if (r < 0)
			return r;
	}
	for (i = 0; i < c->required; i++) {
		if (!json_object_get(request, c->args[i].key)) {
			log_err("%s: \"%s\" is missing: %s", c->name, c->args[i].key,
				c->args[i].help);
			return -EUSAGE;
		}
	}
	return 0;
}

json_t *command_words(const char *what, char *const *words)
{
	const struct command *c = command_find(words[0]);
	char *const *arg = words + 1;
	json_t *request;
	unsigned n;

	if (!c)
		return NULL;
	request = json_pack("{s:s}", "do", c->name);
	if (!request) {
		log_err("%s: %s", what, strerror(ENOMEM));
		return NULL;
	}
	for (n = 0; arg[n] && c->args[n].key; n++) {
		if (json_object_set_new(request, c->args[n].key, json_string(arg[n])) < 0) {
			log_err("%s: %s: is not UTF-8, as commands have to be", what, arg[n]);
			json_decref(request);
			return NULL;
		}
	}
	if (!arg[n] && n >= c->required)
		return request;
	if (arg[n])
		log_err("%s %s: '%s' is one word too many", what, c->name, arg[n]);
	else
		log_err("%s %s: %s is missing: %s", what, c->name, c->args[n].arg,
			c->args[n].help);
	json_decref(request);
	return NULL;
}

int command_check(json_t *request)
{
	struct command_args args = { 0 };
	const struct command *c = command_of(request);

	return c ? take_args(c, &args, request) : -EUSAGE;
}

static int run(const struct command_host *host, json_t *request, json_t *answer)
{
	struct command_args args = { 0 };
	const struct command *c = command_of(request);
	int r = c ? take_args(c, &args, request) : -EUSAGE;

	return r < 0 ? r : c->run(host, &args, answer);
}

static json_t *parse(const char *text, size_t len)
{
	json_error_t why;
	json_t *request = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);

	if (!request)
		log_err("not JSON: %s, at column %d", why.text, why.column);
	return request;
}

char *command_run(const struct command_host *host, const char *text, size_t len, bool *over)
{
	json_t *request, *answer = json_object();
	char error[512], *line;
	int r = -EUSAGE;

	json_object_set_new(answer, "ok", json_true());
	log_hear(error, sizeof(error));
	request = parse(text, len);
	if (request)
		r = run(host, request, answer);
	log_hear(NULL, 0);
	if (r < 0) {
		json_object_clear(answer);
		json_object_set_new(answer, "ok", json_false());
		json_object_set_new(answer, "error", text_json(*error ? error : strerror(-r)));
	}
	*over = r > 0;
	line = json_dumps(answer, JSON_COMPACT);
	json_decref(request);
	json_decref(answer);
	return line;
}
