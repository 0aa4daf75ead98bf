/* SPDX-License-Identifier: MIT */
#include "devices/net_mac.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/state.h"

/* A group's address (bit 0 of the first byte) is no station's, and zero nobody's. */
static bool is_ok(const uint8_t mac[NET_MAC_LEN])
{
	static const uint8_t nobody[NET_MAC_LEN];

	return !(mac[0] & 1) && memcmp(mac, nobody, NET_MAC_LEN);
}

static int parse(const char *id, const char *text, uint8_t mac[NET_MAC_LEN])
{
	unsigned b[NET_MAC_LEN], i;
	int end = 0, n;

	n = sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5],
		   &end);
	for (i = 0; n == NET_MAC_LEN && i < NET_MAC_LEN; i++)
		mac[i] = b[i];
	if (n != NET_MAC_LEN || end != 17 || text[end] || !is_ok(mac)) {
		log_err("%s: mac=%s: an address of one station is wanted, 02:00:00:00:00:01 for "
			"instance", id, text);
		return -EUSAGE;
	}
	return 0;
}

int net_mac_choose(const char *id, const char *text, uint8_t mac[NET_MAC_LEN])
{
	if (text)
		return parse(id, text, mac);
	if (getrandom(mac, NET_MAC_LEN, 0) != NET_MAC_LEN) {
		log_err("%s: no random address: %s", id, strerror(errno));
		return -EIO;
	}
	mac[0] = (mac[0] & 0xfc) | 2;
	return 0;
}

void net_mac_visit(uint8_t mac[NET_MAC_LEN], struct state *s)
{
	uint8_t now[NET_MAC_LEN];

	memcpy(now, mac, NET_MAC_LEN);
	state_bytes(s, now, NET_MAC_LEN);
	state_check(s, is_ok(now));
	if (state_takes(s))
		memcpy(mac, now, NET_MAC_LEN);
}

void net_mac_explain(const uint8_t mac[NET_MAC_LEN], FILE *out)
{
	fprintf(out, "  address: %02x:%02x:%02x:%02x:%02x:%02x\n", mac[0], mac[1], mac[2], mac[3],
		mac[4], mac[5]);
}
