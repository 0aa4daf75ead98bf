/* SPDX-License-Identifier: MIT */
#include "vmm/machine/restart.h"

#include <stdlib.h>
#include <string.h>

#include "vmm/core/clock.h"
#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/core/mem.h"
#include "vmm/core/policy.h"
#include "vmm/core/state.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/machine.h"

static void visit(void *object, struct state *s)
{
	struct machine *m = object;
	unsigned i;

	arch_vm_state(&m->vm, s);
	for (i = 0; i < m->ncpus; i++)
		arch_vcpu_state(&m->vcpu[i], s);
}

/* Once: what is kept is what KVM makes, whatever kernel is loaded. */
int restart_keep(struct machine *m)
{
	struct restart *restart = &m->restart;
	int r;

	restart->begun = now_ms();
	if (m->spec.on_reboot != REBOOT_RESTART || restart->fresh)
		return 0;
	r = state_save(visit, m, &restart->fresh, &restart->len);
	if (r < 0) {
		log_err("--on-reboot restart: what processors and interrupt controllers are at the "
			"start cannot be kept: %s; without this option the run ends at a reset",
			strerror(-r));
		return r;
	}
	return device_keep_fresh(&m->devices);
}

bool restart_takes(struct machine *m, enum cause cause)
{
	bool is_reset = cause == CAUSE_REBOOT;

	if (m->spec.on_reboot != REBOOT_RESTART || atomic_load(&m->restart.given_up) ||
	    atomic_load(&m->ended))
		return false;
	/* Who is not there at once goes on, and tries other ways. */
	if (atomic_load(&m->rebooting))
		return is_reset || cause == CAUSE_TRIPLE_FAULT || cause == CAUSE_HALTED;
	if (!is_reset)
		return false;
	atomic_store(&m->rebooting, true);
	atomic_store(&m->over, true);
	loop_stop(m->main_loop);
	return true;
}

void restart_free(struct restart *r)
{
	free(r->fresh);
	*r = (struct restart){ 0 };
}

/* False after one line: the guest does nothing else. */
static bool may_again(struct machine *m)
{
	struct restart *r = &m->restart;

	r->quick = now_ms() - r->begun < RESTART_QUICK_MS ? r->quick + 1 : 0;
	if (r->quick < m->spec.reboot_limit)
		return true;
	log_err("--on-reboot restart: the guest has reset itself %u times in a row, each time less "
		"than %u s after it had begun: the run ends here (--reboot-limit)", r->quick,
		RESTART_QUICK_MS / 1000);
	return false;
}

/* The threads have ended, and nothing is in flight. */
static int make_fresh(struct machine *m)
{
	unsigned i;
	int r;

	for (i = 0; i < m->ncpus; i++)
		vcpu_settle(&m->vcpu[i]);
	vm_take_collected(&m->vm, &m->pio);
	r = device_reset_all(&m->devices);
	if (r < 0)
		return r;
	mem_clear(&m->mem);
	r = state_restore(visit, m, m->restart.fresh, m->restart.len);
	if (r < 0) {
		log_err("--on-reboot restart: KVM does not take processors and interrupt "
			"controllers as they were at the start: %s", strerror(-r));
		return r;
	}
	return m->user->reload(m->user_arg);
}

static bool all_stopped(struct machine *m)
{
	unsigned i;

	for (i = 0; i < m->ncpus; i++) {
		if (!vcpu_try_stop(&m->vcpu[i]))
			return false;
	}
	return true;
}

static int again(struct machine *m)
{
	unsigned i;
	int r;

	machine_resume(m); /* it was paused after it had asked for this */
	device_pause_all(&m->devices, true);
	r = make_fresh(m);
	device_pause_all(&m->devices, false);
	atomic_store(&m->rebooting, false);
	atomic_store(&m->over, false);
	/* An end that has come meanwhile, or comes from now on, stops the loop (machine_end()). */
	loop_again(m->main_loop);
	for (i = 0; r == 0 && i < m->ncpus; i++)
		r = vcpu_start(&m->vcpu[i]);
	return r;
}

bool restart_guest(struct machine *m)
{
	if (!atomic_load(&m->rebooting) || atomic_load(&m->ended))
		return false;
	if (!may_again(m)) {
		atomic_store(&m->restart.given_up, true);
		machine_end(m, CAUSE_REBOOT);
		return false;
	}
	/* A vCPU may wait for who reads the terminal: signals, and keys, still end the run. */
	while (!all_stopped(m)) {
		loop_round(m->main_loop);
		if (atomic_load(&m->ended))
			return false;
	}
	if (again(m) < 0)
		machine_end(m, CAUSE_KVM_ERROR);
	if (atomic_load(&m->ended))
		loop_stop(m->main_loop);
	return true;
}
