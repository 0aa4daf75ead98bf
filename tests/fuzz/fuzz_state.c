/* SPDX-License-Identifier: MIT */
/*
 * State that is restored, of devices on both transports and of the PC's own. The input is edits to
 * what good devices say of themselves, and then perhaps a cut; whatever comes of it, a driver that
 * begins anew finds the device whole.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <stdlib.h>

#include "tests/lib/vdriver.h"
#include "vmm/core/log.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"

static const char *const texts[] = { "virtio-rng", "virtio-rng,transport=mmio", "serial", "rtc" };

static void edit(struct fuzz_input *in, uint8_t *bytes, size_t *len)
{
	uint16_t at;

	while (in->left > 2) {
		fuzz_bytes(in, &at, sizeof(at));
		bytes[at % *len] = fuzz_u8(in);
	}
	if (in->left)
		*len -= fuzz_u8(in);
}

static void check_driver(struct vdriver *v)
{
	struct iovec buf = { (uint8_t[16]){ 0 }, 16 };

	testbed_release(v->tb);
	BUG_ON(!vdriver_start(v, ~0ull, 1, 8));
	BUG_ON(vdriver_request(v, 0, NULL, 0, &buf, 1, 5000) != 16);
	vdriver_reset(v);
	vdriver_fini(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct testbed tb;
	struct fuzz_input in = { data, len };
	struct vdriver v[2]; /* of the first two */
	uint8_t *bytes;
	size_t n;
	unsigned i;
	int r;

	if (!tb.started) {
		log_set_level(LOG_ERR);
		testbed_init(&tb);
		for (i = 0; i < ARRAY_SIZE(texts); i++)
			BUG_ON(device_create(&tb.p, &tb.devices, texts[i]) < 0);
		testbed_start(&tb);
	}
	device_pause_all(&tb.devices, true);
	BUG_ON(state_save(device_state_all, &tb.devices, &bytes, &n) < 0);
	edit(&in, bytes, &n);
	r = state_restore(device_state_all, &tb.devices, bytes, n);
	BUG_ON(r && r != -EINVAL && r != -EPROTO);
	free(bytes);
	device_pause_all(&tb.devices, false);
	testbed_settle(&tb);
	/* Both are reset before memory is used anew, as both may have rings in it. */
	for (i = 0; i < ARRAY_SIZE(v); i++)
		BUG_ON(!vdriver_probe(&v[i], &tb, i));
	for (i = 0; i < ARRAY_SIZE(v); i++)
		check_driver(&v[i]);
	return 0;
}
