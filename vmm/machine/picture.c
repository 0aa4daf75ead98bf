/* SPDX-License-Identifier: MIT */
#include "vmm/machine/picture.h"

#include <stdio.h>

#include "vmm/core/log.h"
#include "vmm/machine/console.h"
#include "vmm/machine/console_log.h"
#include "vmm/machine/machine.h"

/* What is shown of a guest whose end neither it nor the user has chosen. */
static const struct {
	bool shown;
	bool say;   /* nobody has said a word about it yet; the console may have, if it is seen */
	bool vcpus; /* where they are tells something, and has not been shown */
} ends[CAUSE_COUNT] = {
	[CAUSE_REBOOT] = { .shown = true, .say = true },
	[CAUSE_PANIC] = { .shown = true, .say = true },
	[CAUSE_TRIPLE_FAULT] = { .shown = true, .say = true, .vcpus = true },
	[CAUSE_HALTED] = { .shown = true, .say = true, .vcpus = true },
	[CAUSE_KVM_ERROR] = { .shown = true, .vcpus = true },
	[CAUSE_NO_RESULT] = { .shown = true },
	[CAUSE_HOST_IO] = { .shown = true },
	[CAUSE_TIMEOUT] = { .shown = true },
	[CAUSE_BOOT] = { .shown = true },
	[CAUSE_OOM] = { .shown = true },
};

static void show_line(void *arg, const char *line)
{
	(void)arg;
	log_text(line);
}

static void show_last_line(void *first, const char *line)
{
	bool *is_first = first;

	if (*is_first)
		log_text("lunette: the last lines of the guest's console:");
	*is_first = false;
	show_line(NULL, line);
}

/* Calls @fn with lines for each vCPU that was to be looked at. */
static void each_vcpu(const struct machine *m, void (*fn)(void *arg, const char *line), void *arg)
{
	char line[VCPU_PICTURE + EXITS_TEXT];
	unsigned i;

	for (i = 0; i < m->ncpus; i++) {
		const struct vcpu *vcpu = &m->vcpu[i];
		bool looked = atomic_load(&vcpu->looked);

		if (!looked && !(atomic_load(&vcpu->asked) & VCPU_LOOK))
			continue;
		snprintf(line, sizeof(line), "vCPU %u: %s", i, looked ? vcpu->picture :
			 "not in the guest; lunette waits, most likely for who reads its output");
		fn(arg, line);
		if (!looked || !*vcpu->exits->text)
			continue;
		snprintf(line, sizeof(line), "vCPU %u left the guest last for: %s", i,
			 vcpu->exits->text);
		fn(arg, line);
	}
}

static void look(void *host)
{
	struct machine *m = host;
	unsigned i;

	/* No output is waited for any more, nor is it without end. */
	atomic_store(&m->platform.hurry, true);
	for (i = 0; i < m->ncpus; i++)
		vcpu_ask(&m->vcpu[i], VCPU_LOOK);
}

static bool looked(void *host)
{
	struct machine *m = host;
	unsigned i;

	for (i = 0; i < m->ncpus; i++) {
		if (!atomic_load(&m->vcpu[i].looked))
			return false;
	}
	return true;
}

/* The vCPU at which a guest that hangs most likely hangs. NULL: none has said where it is. */
static struct vcpu *suspect(struct machine *m)
{
	struct vcpu *found = NULL;
	unsigned i;

	for (i = 0; i < m->ncpus; i++) {
		struct vcpu *vcpu = &m->vcpu[i];

		if (atomic_load(&vcpu->looked) && (!found || vcpu->trouble > found->trouble))
			found = vcpu;
	}
	return found;
}

/* One NMI only: the first CPU that panics stops the others, and it should be the one that hangs. */
static void show(void *host)
{
	struct machine *m = host;
	struct vcpu *vcpu = suspect(m);

	each_vcpu(m, show_line, NULL);
	if (vcpu)
		vcpu_ask(vcpu, VCPU_NMI);
}

static unsigned long printed(void *host)
{
	struct machine *m = host;

	return console_printed(m->console);
}

static void end(void *host, enum cause cause)
{
	machine_end(host, cause);
}

const struct limits_ops picture_limits = { look, looked, show, printed, end };

static void show_vcpus(struct machine *m)
{
	unsigned i;

	for (i = 0; i < m->ncpus; i++)
		vcpu_look(&m->vcpu[i]);
	each_vcpu(m, show_line, NULL);
}

void picture_end(struct machine *m, void (*vcpu)(void *arg, const char *line), void *arg)
{
	bool first = true;

	if (!ends[m->cause].shown)
		return;
	if (ends[m->cause].say && (ends[m->cause].vcpus || console_is_quiet(m->console)))
		log_err("%s", causes[m->cause].text);
	if (ends[m->cause].vcpus)
		show_vcpus(m);
	each_vcpu(m, vcpu, arg);
	if (console_is_quiet(m->console))
		console_log_tail(console_get_log(m->console), show_last_line, &first);
}
