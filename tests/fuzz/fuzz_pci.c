/* SPDX-License-Identifier: MIT */
/*
 * A whole device on the PCI bus: config space by both ways, the BAR with its vectors, wherever the
 * input moves it, and memory. Whatever it does, a driver that begins anew finds the device whole.
 */
#include "tests/fuzz/fuzz.h"

#include <linux/pci_regs.h>

#include "tests/lib/vdriver.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

#define PORTS 0xcf8
#define BAR_PAGES 4

enum action { CONFIG, PORT, BAR, MOVE, VECTOR, MEMORY, KICK, SETTLE, START, ACTIONS };

static void access_bus(struct bus *bus, uint64_t addr, struct fuzz_input *in)
{
	uint8_t raw[8], len = fuzz_u8(in);

	fuzz_bytes(in, raw, sizeof(raw));
	if (len & 0x80)
		bus_read(bus, addr, raw, 1 + len % 8);
	else
		bus_write(bus, addr, raw, 1 + len % 8);
}

/* Where the BAR is now, if it is anywhere. */
static uint64_t bar(struct vdriver *v)
{
	return vdriver_pci_read(v, PCI_BASE_ADDRESS_0, 4) & PCI_BASE_ADDRESS_MEM_MASK;
}

static void act(struct testbed *tb, struct vdriver *v, struct fuzz_input *in)
{
	uint8_t raw[8], which;
	uint16_t at;

	switch (fuzz_u8(in) % ACTIONS) {
	case CONFIG:
		access_bus(&tb->mmio, TESTBED_ECAM + (v->slot << 15) + fuzz_u8(in), in);
		break;
	case PORT:
		access_bus(&tb->pio, PORTS + fuzz_u8(in) % 8, in);
		break;
	case BAR:
		fuzz_bytes(in, &at, sizeof(at));
		access_bus(&tb->mmio, bar(v) + ((at >> 9) % BAR_PAGES << 12) + at % 0x140, in);
		break;
	case MOVE:
		which = fuzz_u8(in);
		vdriver_pci_write(v, PCI_BASE_ADDRESS_0, TESTBED_BARS - 0x8000 + which * 0x2000, 4);
		break;
	case VECTOR:
		which = fuzz_u8(in);
		fuzz_bytes(in, raw, sizeof(raw));
		vdriver_poke(v, bar(v) + 0x2000 + 8 * (which % 4), le64_get(raw), 8);
		break;
	case MEMORY: /* in the part that a driver's rings are in, or anywhere low */
		fuzz_bytes(in, &at, sizeof(at));
		fuzz_bytes(in, raw, sizeof(raw));
		testbed_settle(tb); /* what was found can then be found again */
		mem_write(&tb->mem, (v->nqueues ? v->queue[0].ring.desc : 0) + at % 0x800, raw, 8);
		break;
	case KICK:
		vdriver_notify(v, fuzz_u8(in) % 4);
		break;
	case SETTLE:
		testbed_settle(tb);
		break;
	case START:
		if (!v->nqueues)
			vdriver_start(v, ~0ull, 1, 1 << fuzz_u8(in) % 8);
		break;
	}
}

static void start_again(struct testbed *tb, struct vdriver *v)
{
	vdriver_fini(v);
	testbed_release(tb);
	BUG_ON(!vdriver_probe(v, tb, 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct testbed tb;
	static struct vdriver v;
	struct fuzz_input in = { data, len };
	struct iovec buf = { (uint8_t[16]){ 0 }, 16 };
	unsigned n;

	if (!tb.started) {
		log_set_level(LOG_ERR);
		testbed_init(&tb);
		BUG_ON(device_create(&tb.p, &tb.devices, "virtio-rng") < 0);
		testbed_start(&tb);
		BUG_ON(!vdriver_probe(&v, &tb, 0));
	}
	for (n = 0; n < 500 && in.left; n++)
		act(&tb, &v, &in);
	start_again(&tb, &v);
	BUG_ON(!vdriver_start(&v, ~0ull, 1, 8));
	BUG_ON(vdriver_request(&v, 0, NULL, 0, &buf, 1, 5000) != 16);
	start_again(&tb, &v);
	BUG_ON(tb.mmio.nbells != 1 || tb.mmio.nranges != 2);
	return 0;
}
