/* SPDX-License-Identifier: MIT */
/* ctl_fixture.h - "lunette ctl", and a run's socket, ./s in a folder of the test's own. */
#ifndef TESTS_UNIT_CTL_FIXTURE_H
#define TESTS_UNIT_CTL_FIXTURE_H

#include "tests/unit/unit.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/lib/typed.h"
#include "vmm/run/run.h"

static char dir[] = "/tmp/lunette-ctl-XXXXXX";
static struct stderr_text out, err;
static int listening;

static inline void listen_there(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX, .sun_path = "s" };

	signal(SIGPIPE, SIG_IGN); /* the thread of a test that does not ask */
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listening, (struct sockaddr *)&addr, sizeof(addr)), 0);
	ck_assert_int_eq(listen(listening, 4), 0);
}

/* What a test has made in the folder is gone before. */
static inline void listen_no_more(void)
{
	close(listening);
	unlink("s");
	ck_assert_int_eq(rmdir(dir), 0);
}

/* Words, up to NULL. Returns the status. */
static inline int run(const char *const *words)
{
	return command_typed(ctl_main, words, &out, &err);
}

#endif
