/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices/lio_sweep.h"
#include "tests/lib/fakelio.h"
#include "tests/lib/stderr.h"
#include "vmm/core/util.h"

Suite *lio_sweep_suite(void);

static struct fakelio *lio;
static struct stderr_text said;
static long pid;
static unsigned long long start, space; /* of ours */

static void set_up(void)
{
	char name[100];

	lio = fakelio_open();
	ck_assert_int_eq(lio_owner_name(name, sizeof(name), "s0"), 0);
	ck_assert_int_eq(sscanf(name, "lunette-%ld-%llu-%llu:s0", &pid, &start, &space), 3);
}

static void tear_down(void)
{
	fakelio_close(lio);
}

/* Field 22, counted by hand. */
static unsigned long long start_of(long who)
{
	char path[64], stat[1024], *at;
	FILE *f;
	int i;

	snprintf(path, sizeof(path), "/proc/%ld/stat", who);
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(fgets(stat, sizeof(stat), f));
	fclose(f);
	at = strrchr(stat, ')') + 2;
	for (i = 3; i < 22; i++)
		at = strchr(at, ' ') + 1;
	return strtoull(at, NULL, 10);
}

START_TEST(owner_is_this_process)
{
	char name[100];

	ck_assert_int_eq(pid, getpid());
	ck_assert_uint_ne(space, 0);
	ck_assert_uint_eq(start_of(pid), start);
	ck_assert_int_eq(lio_owner_name(name, 12, "s0"), 0);
	ck_assert_uint_eq(strlen(name), 11);
}
END_TEST

/* A process that has been, and is no more. */
static long dead_pid(void)
{
	pid_t child = fork();

	if (!child)
		_exit(0);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	return child;
}

static void add(long owner, unsigned long long since, unsigned long long where, const char *id)
{
	char hba[64], store[128], wwn[128];

	snprintf(hba, sizeof(hba), "fileio_%ld", LIO_HBA_BASE + owner);
	snprintf(store, sizeof(store), "lunette-%ld-%llu-%llu:%s:0", owner, since, where, id);
	snprintf(wwn, sizeof(wwn), "naa.lunette-%ld-%llu-%llu:%s", owner, since, where, id);
	fakelio_add(lio, hba, store, wwn);
}

#define OBJECTS 6 /* folder, store, target, group, LUN, link */

START_TEST(dead_owners)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	add(dead_pid(), start, space, "s0");
	add(pid, start - 1, space, "s1"); /* our number, but an earlier process */
	ck_assert_uint_eq(fakelio_count(lio), 2 * OBJECTS);
	ck_assert_int_eq(lio_sweep(&lio->tree, NULL, LOG_ERR, f), 0);
	fclose(f);
	/* The folder has our process number: it is ours to remove at our end. */
	ck_assert_uint_eq(fakelio_count(lio), 1);
	ck_assert_ptr_nonnull(strstr(text, "removed "));
	ck_assert_ptr_nonnull(strstr(text, ":s0\n"));
	ck_assert_ptr_nonnull(strstr(text, ":s1:0\n"));
	free(text);
}
END_TEST

/* It has ended, but its parent has not asked for its status, and perhaps never will. */
START_TEST(zombie_owner)
{
	siginfo_t info;
	pid_t child = fork();

	if (!child)
		_exit(0);
	ck_assert_int_eq(waitid(P_PID, child, &info, WEXITED | WNOWAIT), 0);
	add(child, start_of(child), space, "s0");
	ck_assert_int_eq(lio_sweep(&lio->tree, NULL, LOG_ERR, NULL), 0);
	/* Its number is still taken, and so may the folder be. */
	ck_assert_uint_eq(fakelio_count(lio), 1);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	ck_assert_int_eq(lio_sweep(&lio->tree, NULL, LOG_ERR, NULL), 0);
	ck_assert_uint_eq(fakelio_count(lio), 0);
}
END_TEST

static void add_living(void)
{
	add(pid, start, space, "s0");
}

static void add_init(void)
{
	add(1, 0, space + 1, "s0"); /* in another namespace it may well live */
}

static void add_foreign(void)
{
	fakelio_add(lio, "fileio_0", "disk", "naa.5001405000000001");
}

static void add_similar(void)
{
	char text[100];

	snprintf(text, sizeof(text), "lunette-%ld-%llu-%llu", dead_pid(), start, space);
	fakelio_add(lio, "fileio_1", text, "naa.lunette-");
}

static void add_with_other_words(void)
{
	char store[100], wwn[100];

	snprintf(store, sizeof(store), "my-lunette-%ld-%llu-%llu:s0:0", dead_pid(), start, space);
	snprintf(wwn, sizeof(wwn), "iqn.lunette-%ld-%llu-%llu:s0", dead_pid(), start, space);
	fakelio_add(lio, "iblock_2", store, wwn);
}

static void (*const untouchable[])(void) = { add_living, add_init, add_foreign, add_similar,
					     add_with_other_words };

START_TEST(not_ours_to_touch)
{
	untouchable[_i]();
	stderr_begin(&said);
	ck_assert_int_eq(lio_sweep(&lio->tree, NULL, LOG_ERR, NULL), 0);
	ck_assert_str_eq(stderr_end(&said), "");
	ck_assert_uint_eq(fakelio_count(lio), OBJECTS);
}
END_TEST

/* By name: this one, and not one with a longer or shorter name. */
START_TEST(by_name)
{
	char name[100];

	add(pid, start, space, "s0");
	add(pid, start, space, "s0-1");
	add(pid, start, space, "s");
	ck_assert_int_eq(lio_owner_name(name, sizeof(name), "s0"), 0);
	ck_assert_int_eq(lio_sweep(&lio->tree, name, LOG_ERR, NULL), 0);
	ck_assert_uint_eq(fakelio_count(lio), 2 * OBJECTS - 1); /* they share the folder */
	ck_assert_int_eq(lio_owner_name(name, sizeof(name), "s0-1"), 0);
	ck_assert_int_eq(lio_sweep(&lio->tree, name, LOG_ERR, NULL), 0);
	ck_assert_int_eq(lio_owner_name(name, sizeof(name), "s"), 0);
	ck_assert_int_eq(lio_sweep(&lio->tree, name, LOG_ERR, NULL), 0);
	ck_assert_uint_eq(fakelio_count(lio), 0);
}
END_TEST

/* Killed between two steps, or after a LUN was added by hand. */
/* A process of the owner's may do it, with the owner's names: see bounded.h. */
START_TEST(lun_by_another_process)
{
	char name[100], store[300];
	int status;
	pid_t child;

	ck_assert_int_eq(lio_owner_name(name, sizeof(name), "s0"), 0);
	snprintf(store, sizeof(store), "%s/core/fileio_%ld", lio->root, LIO_HBA_BASE + pid);
	ck_assert_int_eq(lio->tree.make(store), 0);
	snprintf(store + strlen(store), sizeof(store) - strlen(store), "/%s:3", name);
	ck_assert_int_eq(lio->tree.make(store), 0);
	ck_assert_uint_eq(fakelio_count(lio), 2);
	child = fork();
	if (!child)
		_exit(lio_sweep_lun(&lio->tree, name, 3) != 0);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	ck_assert_uint_eq(fakelio_count(lio), 1); /* the folder of stores */
}
END_TEST

START_TEST(parts_and_more)
{
	long dead = dead_pid();
	char wwn[128];

	snprintf(wwn, sizeof(wwn), "lunette-%ld-%llu-%llu:s0", dead, start, space);
	lio->tree.make(fakelio_path(lio, "core/iblock_%ld", LIO_HBA_BASE + dead));
	lio->tree.make(fakelio_path(lio, "vhost"));
	lio->tree.make(fakelio_path(lio, "vhost/naa.%s", wwn));
	lio->tree.make(fakelio_path(lio, "vhost/naa.%s/tpgt_0", wwn));
	lio->tree.make(fakelio_path(lio, "vhost/naa.%s/tpgt_0/lun/lun_7", wwn));
	ck_assert_uint_eq(fakelio_count(lio), 4);
	ck_assert_int_eq(lio_sweep(&lio->tree, NULL, LOG_ERR, NULL), 0);
	ck_assert_uint_eq(fakelio_count(lio), 0);
}
END_TEST

START_TEST(what_cannot_be_removed_is_told)
{
	add(dead_pid(), start, space, "s0");
	lio->stuck = true;
	stderr_begin(&said);
	ck_assert_int_eq(lio_sweep(&lio->tree, NULL, LOG_ERR, NULL), -EBUSY);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "lun_0/x: cannot be removed: Device or "
				     "resource busy; 'lunette clean' tries again\n"));
	stderr_begin(&said);
	ck_assert_int_eq(lio_sweep(&lio->tree, NULL, LOG_INFO, NULL), -EBUSY);
	ck_assert_str_eq(stderr_end(&said), "");
}
END_TEST

START_TEST(no_tree_at_all)
{
	struct lio_tree none = lio->tree;

	none.root = "/nonexistent/target";
	ck_assert_int_eq(lio_sweep(&none, NULL, LOG_ERR, NULL), 0);
}
END_TEST

Suite *lio_sweep_suite(void)
{
	Suite *s = suite_create("lio_sweep");
	TCase *tc = unit_case(s, "lio_sweep");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, owner_is_this_process);
	tcase_add_test(tc, dead_owners);
	tcase_add_test(tc, zombie_owner);
	tcase_add_loop_test(tc, not_ours_to_touch, 0, ARRAY_SIZE(untouchable));
	tcase_add_test(tc, by_name);
	tcase_add_test(tc, lun_by_another_process);
	tcase_add_test(tc, parts_and_more);
	tcase_add_test(tc, what_cannot_be_removed_is_told);
	tcase_add_test(tc, no_tree_at_all);
	return s;
}

UNIT_MAIN(lio_sweep_suite)
