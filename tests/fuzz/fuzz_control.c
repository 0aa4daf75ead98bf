/* SPDX-License-Identifier: MIT */
/*
 * Commands for a machine that runs: each line of the input is one. Every answer is a JSON object
 * of one line, whatever the command was, and whatever those before it have done. File names are
 * left out, so that nothing of the host is touched.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "tests/lib/testbed.h"
#include "vmm/core/log.h"
#include "vmm/run/control/command.h"

#define COMMANDS_MAX 64

static void quit(void *arg)
{
	(*(unsigned *)arg)++;
}

static int sysrq(void *arg, char key)
{
	(void)arg;
	BUG_ON(key <= ' ' || key > '~');
	return 0;
}

static int nmi(void *arg, unsigned cpu)
{
	(void)arg;
	return cpu ? -EINVAL : 0;
}

static int dump(void *arg, const char *file)
{
	(void)arg;
	BUG_ON(!file);
	return 0;
}

static int exec(void *arg)
{
	(void)arg;
	return 0;
}

static void one_line(const struct command_host *host, const char *text, size_t len)
{
	bool over;
	char *line = command_run(host, text, len, &over);
	json_t *answer;

	BUG_ON(!line || strchr(line, '\n'));
	answer = json_loads(line, 0, NULL);
	BUG_ON(!json_is_boolean(json_object_get(answer, "ok")));
	BUG_ON(over && !json_is_true(json_object_get(answer, "ok")));
	BUG_ON(json_is_false(json_object_get(answer, "ok")) &&
	       !json_string_length(json_object_get(answer, "error")));
	json_decref(answer);
	free(line);
}

static int pause_not(void *arg, bool paused)
{
	(void)arg;
	return paused ? -EBUSY : 0;
}

/* A null store has no file, whatever follows; a backslash could hide a word. */
static bool touches_files(const char *text, size_t len)
{
	static const char null_store[] = "\"text\":\"store=null,";

	return (memmem(text, len, "\"plug", 5) &&
		!memmem(text, len, null_store, sizeof(null_store) - 1)) ||
	       memmem(text, len, "insert", 6) || memmem(text, len, "overlay", 7) ||
	       memmem(text, len, "file", 4) || memchr(text, '\\', len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *at = (const char *)data, *end = at + len;
	unsigned quits = 0, n;
	struct testbed tb;
	struct command_host host = { .platform = &tb.p, .devices = &tb.devices, .quit = quit,
				     .pause = pause_not, .sysrq = sysrq, .nmi = nmi, .dump = dump,
				     .exec = exec,
				     .arg = &quits };

	testbed_init(&tb);
	BUG_ON(device_create(&tb.p, &tb.devices, "virtio-scsi") < 0);
	BUG_ON(device_create(&tb.p, &tb.devices, "scsi-disk,store=null,size=1M,fault=") < 0);
	BUG_ON(device_create(&tb.p, &tb.devices, "scsi-cd") < 0);
	testbed_start(&tb);
	for (n = 0; at < end && n < COMMANDS_MAX; n++) {
		const char *stop = memchr(at, '\n', end - at);
		size_t line = (stop ? stop : end) - at;

		if (!touches_files(at, line))
			one_line(&host, at, line);
		at += line + 1;
	}
	device_destroy_all(&tb.devices);
	testbed_fini(&tb);
	return 0;
}
