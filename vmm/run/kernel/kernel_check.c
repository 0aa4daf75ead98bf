/* SPDX-License-Identifier: MIT */
#include "vmm/run/kernel/kernel_check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "devices/devices.h"
#include "vmm/core/claim.h"
#include "vmm/core/log.h"
#include "vmm/core/utf8.h"
#include "vmm/core/util.h"
#include "vmm/machine/cause.h"
#include "vmm/machine/image.h"
#include "vmm/run/kernel/kernel_config.h"
#include "vmm/run/kernel/kernel_needs.h"

#define STATUS_MISSING 1

/* Does @need matter to the devices of @list? */
static bool matters(const struct kernel_need *need, const struct device_list *list)
{
	const struct device *dev = list ? list->last : NULL;

	if (!list || !need->class)
		return true;
	while (dev && strncmp(dev->class->name, need->class, strlen(need->class)))
		dev = dev->next;
	return dev;
}

/* Calls @fn for each option of @table that matters to @list and that is not built in. */
static void for_each_missing(const struct kernel_need *table, const struct kernel_config *config,
			     const struct device_list *list,
			     void (*fn)(void *arg, const struct kernel_need *need, bool module),
			     void *arg)
{
	for (; table->option; table++) {
		char value;

		if (!matters(table, list))
			continue;
		value = kernel_config_get(config, table->option);
		if (value != 'y')
			fn(arg, table, value == 'm');
	}
}

struct print {
	FILE *out;
	unsigned missing;
};

static void print_missing(void *arg, const struct kernel_need *need, bool module)
{
	bool nice = need->level == KERNEL_NEED_NICE;
	struct print *p = arg;

	if (module && nice)
		return;
	module = module && need->level == KERNEL_NEED_ANY;
	fprintf(p->out, "%sCONFIG_%s=y   # %s%s%s%s\n", module || nice ? "# " : "", need->option,
		need->class ? need->class : "", need->class ? ": " : "", need->why,
		module ? "; is a module: an initrd has to load it" :
		nice ? "; works without" : "");
	if (!module && !nice)
		p->missing++;
}

unsigned kernel_check_print(const struct kernel_config *config, const struct device_list *list,
			    FILE *out)
{
	struct print p = { out, 0 };

	for_each_missing(kernel_needs, config, list, print_missing, &p);
	for_each_missing(kernel_needs_of(config), config, list, print_missing, &p);
	return p.missing;
}

struct names {
	char text[512];
	size_t len;
	bool initrd;
};

static void name_missing(void *arg, const struct kernel_need *need, bool module)
{
	struct names *n = arg;

	if (need->level == KERNEL_NEED_NICE ||
	    (module && n->initrd && need->level == KERNEL_NEED_ANY) ||
	    (!n->initrd && !strcmp(need->option, "BLK_DEV_INITRD")) || n->len >= sizeof(n->text))
		return;
	n->len += snprintf(n->text + n->len, sizeof(n->text) - n->len, "%sCONFIG_%s%s",
			   n->len ? ", " : "", need->option, module ? " (a module)" : "");
}

static int claim_config(struct claims *claims, const struct kernel_config *config)
{
	int fd = open(config->from, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r;
	char what[sizeof(config->from) + 64];
	struct claim *claim;

	if (fd < 0)
		return 0;
	snprintf(what, sizeof(what), "the configuration of the kernel, %s", config->from);
	r = claim_read(claims, what, fd, false, &claim);
	close(fd);
	return r;
}

int kernel_check_warn(const char *path, struct claims *claims, const struct device_list *list,
		      bool initrd)
{
	struct names n = { .initrd = initrd };
	struct kernel_config config;
	int r;

	if (kernel_config_beside(path, &config) < 0)
		return 0;
	r = claim_config(claims, &config);
	for_each_missing(kernel_needs, &config, list, name_missing, &n);
	for_each_missing(kernel_needs_of(&config), &config, list, name_missing, &n);
	if (n.len && r == 0)
		log_warn("--kernel %s: does not have what this guest needs, says %s: %s; "
			 "lunette kernel check tells more", path, config.from, n.text);
	kernel_config_free(&config);
	return r;
}

static int check(const struct image *img)
{
	struct kernel_config config;
	unsigned missing;
	int r = kernel_config_find(img, &config);

	if (r == -ENOENT)
		log_err("kernel check %s: no configuration in it (CONFIG_IKCONFIG) and none beside "
			"it (config-VERSION)", img->path);
	if (r < 0)
		return causes[CAUSE_SETUP].status;
	missing = kernel_check_print(&config, NULL, stdout);
	utf8_line(stdout, "# %s: %u missing", config.from, missing);
	kernel_config_free(&config);
	return missing ? STATUS_MISSING : 0;
}

int kernel_check_file(const char *path)
{
	struct image img;
	int status;

	if (image_open(&img, "kernel check", path) < 0)
		return causes[CAUSE_SETUP].status;
	status = check(&img);
	image_close(&img);
	return status;
}
