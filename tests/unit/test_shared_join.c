/* SPDX-License-Identifier: MIT */
/* Where guests that share a disk meet, and who is first there. */
#include "tests/unit/shared_fixture.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "virtio/user_msg.h"

Suite *shared_join_suite(void);

static struct shared_place place;
static struct stderr_text said;
static int ear; /* which these tests leave open */

static void set_up(void)
{
	set_up_folder();
	ck_assert_int_eq(shared_place("x", &place), 0);
}

static const char *const good[] = { "x", "a-b_c.D9", "12345678901234567890123456789012", "lock" };
static const char *const bad[] = { "", ".x", "a/b", "a b", "x.lock", "../x",
				   "123456789012345678901234567890123" };

START_TEST(names)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++)
		ck_assert_int_eq(shared_name_check("d0", "shared", good[i]), 0);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		stderr_begin(&said);
		ck_assert_int_eq(shared_name_check("d0", "shared", bad[i]), -EUSAGE);
		ck_assert_ptr_nonnull(strstr(stderr_end(&said), "d0: shared="));
	}
}
END_TEST

START_TEST(places)
{
	char wanted[160], below[200];
	struct stat st;

	snprintf(wanted, sizeof(wanted), "%s/x", meeting);
	ck_assert_str_eq(place.socket, wanted);
	ck_assert_int_eq(stat(meeting, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	/* Where others may write it is no place. */
	ck_assert_int_eq(chmod(meeting, 0777), 0);
	setenv("TMPDIR", folder, 1);
	ck_assert_int_eq(shared_place("x", &place), 0);
	snprintf(below, sizeof(below), "%s/lunette-%u/x", folder, geteuid());
	ck_assert_str_eq(place.socket, below);
	*strrchr(below, '/') = 0;
	rmdir(below);
}
END_TEST

/* One that was taken away is no lock, though somebody has it. */
START_TEST(lock)
{
	int one = shared_lock(&place, 0), other;

	ck_assert_int_ge(one, 0);
	ck_assert_int_lt(shared_lock(&place, 50), 0);
	ck_assert_int_eq(unlink(place.lock), 0);
	other = shared_lock(&place, 0);
	ck_assert_int_ge(other, 0);
	close(one);
	ck_assert_int_lt(shared_lock(&place, 0), 0);
	close(other);
	ck_assert_int_eq(unlink(place.lock), 0);
}
END_TEST

/* A server that listens at @path. */
static int serve_at(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(at.sun_path, path);
	ck_assert_int_eq(bind(sock, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(sock, 4), 0);
	return sock;
}

/* What a server that was killed has left; what one that lives needs stays. */
START_TEST(clean)
{
	char out[200] = "";
	FILE *f = fmemopen(out, sizeof(out), "w");
	int sock = serve_at(place.socket);

	ck_assert_int_eq(shared_clean(f), 0);
	ck_assert_uint_eq(left(), 2); /* with a lock that nobody has */
	close(sock);
	ck_assert_int_eq(shared_clean(f), 0);
	fclose(f);
	ck_assert_uint_eq(left(), 0);
	ck_assert_ptr_nonnull(strstr(out, "/lunette/x"));
	ck_assert_int_eq(strncmp(out, "removed ", 8), 0);
}
END_TEST

static void in_folder(const char *command)
{
	char line[300];

	snprintf(line, sizeof(line), "cd %s && { %s; }", folder, command);
	ck_assert_msg(system(line) == 0, "%s", line);
}

/* With other variables they would have met elsewhere; and there may be others' files, too. */
START_TEST(clean_all_places)
{
	char below[100], out[400] = "";
	FILE *f = fmemopen(out, sizeof(out), "w");

	setenv("TMPDIR", folder, 1);
	snprintf(below, sizeof(below), "%s/lunette-%u", folder, geteuid());
	ck_assert_int_eq(mkdir(below, 0700), 0);
	strcat(below, "/x");
	close(serve_at(below));
	in_folder("cd lunette-*; touch a a.lock c c.lock; mkdir b; touch b.lock; echo 1 >d.lock; "
		  "mkfifo e.lock; ln -s a g.lock; touch f.lock");
	ck_assert_int_eq(shared_clean(f), 0);
	fclose(f);
	/* What is left is what was no lock, or is beside what is no socket. */
	in_folder("cd lunette-*; test \"$(echo *)\" = 'a a.lock b b.lock c c.lock d.lock e.lock "
		  "g.lock'");
	ck_assert_ptr_nonnull(strstr(out, "/x\n"));
	ck_assert_ptr_nonnull(strstr(out, "/f\n"));
	in_folder("rm -r lunette-*");
}
END_TEST

static int join(struct shared_answer *answer)
{
	struct shared_hello h = hello_of(image, "");

	return shared_join("x", &place, &h, answer, &ear);
}

/* The first starts it; it ends with the last. */
START_TEST(first_and_last)
{
	struct shared_answer answer;
	pid_t server;
	struct stat st;
	int one, two;

	one = join(&answer);
	ck_assert_int_ge(one, 0);
	ck_assert_int_eq(answer.err, 0);
	server = answer.server;
	ck_assert_uint_eq(answer.size, IMAGE_SIZE);
	ck_assert_int_eq(stat(place.socket, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	two = join(&answer);
	ck_assert_int_ge(two, 0);
	ck_assert_int_eq(server, answer.server);
	ck_assert_uint_eq(answer.guests, 2);
	close(one);
	usleep(100000);
	ck_assert_uint_eq(left(), 2);
	close(two);
	await_left(0);
}
END_TEST

/* Each of several that come at once, and at once again, gets to a server that serves it. */
START_TEST(many_at_once)
{
	struct shared_answer answer;
	pid_t child[8];
	int i, n, sock, status;

	for (i = 0; i < 8; i++) {
		child[i] = fork();
		if (child[i])
			continue;
		for (n = 0; n < unit_rows(12); n++) {
			sock = join(&answer);
			if (sock < 0 || answer.err || answer.size != IMAGE_SIZE)
				_exit(1);
			close(sock);
		}
		_exit(0);
	}
	for (i = 0; i < 8; i++) {
		ck_assert_int_eq(waitpid(child[i], &status, 0), child[i]);
		ck_assert_int_eq(status, 0);
	}
}
END_TEST

START_TEST(cannot_be_opened)
{
	struct shared_hello h = hello_of("/nowhere/disk.img", "");
	struct shared_answer answer;

	stderr_begin(&said);
	ck_assert_int_lt(shared_join("x", &place, &h, &answer, &ear), 0);
	stderr_end(&said);
	ck_assert_ptr_nonnull(strstr(said.text, "/nowhere/disk.img"));
	ck_assert_ptr_null(strstr(strchr(said.text, '\n') + 1, "lunette:")); /* one line */
}
END_TEST

/* Its image is somebody else's: that is said, at once, and no other name would help. */
START_TEST(image_in_use)
{
	struct shared_hello h = hello_of(image, "a");
	struct shared_answer answer;
	struct shared_lun lun;
	uint64_t began;

	ck_assert_int_eq(shared_lun_open(&lun, "y", &h, &answer), 0);
	began = user_now();
	stderr_begin(&said);
	ck_assert_int_eq(shared_join("x", &place, &h, &answer, &ear), -EBUSY);
	stderr_end(&said);
	ck_assert_uint_lt(user_now() - began, 4000); /* who has the same name has 5 s to go */
	ck_assert_msg(strstr(said.text, "in use by process") && strstr(said.text, image), "%s",
		      said.text);
	ck_assert_ptr_null(strstr(said.text, "another name"));
	shared_lun_close(&lun);
	await_left(0);
}
END_TEST

Suite *shared_join_suite(void)
{
	Suite *s = suite_create("shared_join");
	TCase *tc = unit_case(s, "join");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, set_up, tear_down_folder);
	tcase_add_test(tc, names);
	tcase_add_test(tc, places);
	tcase_add_test(tc, lock);
	tcase_add_test(tc, clean);
	tcase_add_test(tc, clean_all_places);
	tcase_add_test(tc, first_and_last);
	tcase_add_test(tc, many_at_once);
	tcase_add_test(tc, cannot_be_opened);
	tcase_add_test(tc, image_in_use);
	return s;
}

UNIT_MAIN_OR(shared_join_suite, be_shared_server)
