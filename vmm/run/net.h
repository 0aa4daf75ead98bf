/* SPDX-License-Identifier: MIT */
/*
 * net.h - --net and --publish: which network device the guest gets, and what it is told of it.
 */
#ifndef RUN_NET_H
#define RUN_NET_H

struct device_list;
struct opt_list;
struct platform;

/* Does that make sense? -EUSAGE after one line. */
int net_check(const char *net, const struct opt_list *publish);

/*
 * Creates the device for --net @net with --publish of each of @publish, if there is to be one.
 * -errno after one line, but for -ENOMEM. [setup]
 */
int net_add(struct platform *p, struct device_list *list, const char *net,
	    const struct opt_list *publish);

/* The word for the guest's command line, with a space before it; "": there is nothing to say. */
const char *net_words(const char *net);

#endif
