#include "vmm/picture.h"

#include <stdio.h>

#include "vmm/arch/arch.h"
#include "vmm/console.h"
#include "vmm/console_log.h"
#include "vmm/core/log.h"
#include "vmm/machine.h"

/* Causes that the guest has not chosen and the user has not brought about. */
static const struct {
	bool vcpus;   /* where they are tells something */
	bool console; /* so do its last lines */
} of_use[CAUSE_COUNT] = {
	[CAUSE_REBOOT] = { .console = true },
	[CAUSE_PANIC] = { .console = true },
	[CAUSE_TRIPLE_FAULT] = { .vcpus = true, .console = true },
	[CAUSE_KVM_ERROR] = { .vcpus = true, .console = true },
	[CAUSE_NO_RESULT] = { .console = true },
	[CAUSE_HOST_IO] = { .console = true },
	[CAUSE_TIMEOUT] = { .console = true }, /* vCPUs have been shown when the time was over */
	[CAUSE_BOOT] = { .console = true },
	[CAUSE_OOM] = { .console = true },
};

static void show_line(void *arg, const char *line)
{
	(void)arg;
	fprintf(stderr, "%s\n", line);
}

void picture_each(const struct machine *m, void (*fn)(void *arg, const char *line), void *arg)
{
	char line[VCPU_PICTURE + 20];
	unsigned i;

	for (i = 0; i < m->ncpus; i++) {
		if (!atomic_load(&m->vcpu[i].looked))
			continue;
		snprintf(line, sizeof(line), "vCPU %u: %s", i, m->vcpu[i].picture);
		fn(arg, line);
	}
}

static void look(void *host)
{
	struct machine *m = host;
	unsigned i;

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

	picture_each(m, show_line, NULL);
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

	for (i = 0; i < m->ncpus; i++) {
		arch_vcpu_look(&m->vcpu[i]);
		atomic_store(&m->vcpu[i].looked, true);
	}
	picture_each(m, show_line, NULL);
}

void picture_end(struct machine *m)
{
	if (of_use[m->cause].vcpus)
		show_vcpus(m);
	if (!of_use[m->cause].console || !console_is_quiet(m->console))
		return;
	log_err("%s: %s; the last lines of its console:", causes[m->cause].name,
		causes[m->cause].text);
	console_log_tail(console_get_log(m->console), show_line, NULL);
}
