/* SPDX-License-Identifier: MIT */
#include "vmm/run/net.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/devices.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/opt.h"
#include "vmm/core/platform.h"

static bool is_none(const char *net)
{
	return !net || !strcmp(net, "none");
}

/* --net user, which may have options of the device behind it. */
static bool is_user(const char *net)
{
	return net && !strncmp(net, "user", 4) && (!net[4] || net[4] == ',');
}

int net_check(const char *net, const struct opt_list *publish)
{
	if (publish->count && !is_user(net))
		log_err("--publish %s: needs --net user", publish->item[0]);
	else if (!is_none(net) && !is_user(net) && strncmp(net, "tap=", 4))
		log_err("--net %s: none, user or tap=NAME is wanted", net);
	else
		return 0;
	return -EUSAGE;
}

int net_add(struct platform *p, struct device_list *list, const char *net,
	    const struct opt_list *publish)
{
	int r = net_check(net, publish);
	char *text;
	size_t len;
	FILE *out;
	unsigned i;

	if (r < 0 || is_none(net))
		return r;
	out = open_memstream(&text, &len);
	if (!out)
		return -ENOMEM;
	fprintf(out, "virtio-net,%s", net);
	for (i = 0; i < publish->count; i++)
		fprintf(out, ",publish=%s", publish->item[i]);
	r = fclose(out) == 0 ? device_create(p, list, text) : -ENOMEM;
	free(text);
	return r;
}

const char *net_words(const char *net)
{
	return is_user(net) ? " lunette.net=" USERNET_ADDRESS "/" USERNET_PREFIX "," USERNET_GATEWAY
			      "," USERNET_DNS : "";
}
