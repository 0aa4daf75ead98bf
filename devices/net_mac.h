/* SPDX-License-Identifier: MIT */
/*
 * net_mac.h - the address of a network device: the user's, or one by chance.
 */
#ifndef DEVICES_NET_MAC_H
#define DEVICES_NET_MAC_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct state;

#define NET_MAC_LEN 6

/* @text as one station's address; NULL: any, locally administered, as guests on one bridge must
 * differ. -errno after one line, which begins with @id. [setup] */
int net_mac_choose(const char *id, const char *text, uint8_t mac[NET_MAC_LEN]);
/* Visits @mac (state.h): it may have been one by chance. */
void net_mac_visit(uint8_t mac[NET_MAC_LEN], struct state *s);
/* A line of --explain. */
void net_mac_explain(const uint8_t mac[NET_MAC_LEN], FILE *out);

#endif
