/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/run/files/oci.h"

Suite *oci_suite(void);

#define TAG "org.opencontainers.image.ref.name"

#if defined(__x86_64__)
#define OURS "amd64"
#define THEIRS "arm64"
#elif defined(__aarch64__)
#define OURS "arm64"
#define THEIRS "amd64"
#else
#define OURS "riscv64"
#define THEIRS "amd64"
#endif

static char top[64];
static struct oci oci;
static struct stderr_text said;

static void set_up(void)
{
	strcpy(top, "/tmp/lunette-oci-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chdir(top), 0);
	ck_assert_int_eq(system("mkdir -p i/blobs/sha256"), 0);
}

static void tear_down(void)
{
	char line[100];

	snprintf(line, sizeof(line), "rm -rf %s", top);
	ck_assert_int_eq(system(line), 0);
}

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

/* Its digest; a few are kept. */
static const char *blob(const char *text)
{
	static char digest[8][SHA256_DIGEST_STRING_LENGTH];
	static unsigned next;
	char path[200], *d = digest[next++ % 8];

	SHA256Data((const uint8_t *)text, strlen(text), d);
	snprintf(path, sizeof(path), "i/blobs/sha256/%s", d);
	write_text(path, text);
	return d;
}

#define LAYER "1111111111111111111111111111111111111111111111111111111111111111"

/* A manifest, with this configuration and one layer. */
static const char *manifest(const char *config)
{
	char text[1000];

	snprintf(text, sizeof(text), "{\"config\":{\"digest\":\"sha256:%s\"},\"layers\":["
		 "{\"digest\":\"sha256:" LAYER "\"}]}", blob(config));
	return blob(text);
}

static void index_of(const char *fmt, const char *a, const char *b)
{
	char text[2000];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, sizeof(text), fmt, a, b);
#pragma GCC diagnostic pop
	write_text("i/index.json", text);
}

#define ONE "{\"manifests\":[{\"digest\":\"sha256:%s\",\"annotations\":{\"" TAG "\":\"one\"}}]}"
#define CONFIG "{\"config\":{\"Env\":[\"A=1\",\"B=x y\"],\"Entrypoint\":[\"/e\",\"-x\"],"        \
	       "\"Cmd\":[\"sh\"],\"WorkingDir\":\"/w\",\"User\":\"ann:kvm\"}}"

START_TEST(what_it_says)
{
	const char *is = manifest(CONFIG);

	index_of(ONE, is, "");
	ck_assert_int_eq(oci_open("--root", "i", &oci), 0);
	ck_assert_str_eq(oci.manifest, is);
	ck_assert_uint_eq(oci.layers, 1);
	ck_assert_str_eq(oci.layer[0], LAYER);
	ck_assert_str_eq(oci.env[1], "B=x y");
	ck_assert_ptr_null(oci.env[2]);
	ck_assert_str_eq(oci.entry[1], "-x");
	ck_assert_str_eq(oci.command[0], "sh");
	ck_assert_str_eq(oci.workdir, "/w");
	ck_assert_str_eq(oci.user, "ann:kvm");
	oci_close(&oci);
	ck_assert_int_eq(oci_open("--root", "i:one", &oci), 0);
	oci_close(&oci);
	ck_assert_int_eq(rename("i", "i:x"), 0);
	ck_assert_int_eq(oci_open("--root", "i:x", &oci), 0);
	oci_close(&oci);
	ck_assert_int_eq(oci_open("--root", "i:x:one", &oci), 0);
	oci_close(&oci);
}
END_TEST

START_TEST(says_nothing)
{
	index_of(ONE, manifest("{}"), "");
	ck_assert_int_eq(oci_open("--root", "i", &oci), 0);
	ck_assert(!oci.env && !oci.entry && !oci.command && !oci.workdir && !oci.user);
	oci_close(&oci);
}
END_TEST

/* An index in the index, with images for several machines. */
START_TEST(for_this_machine)
{
	const char *ours = manifest(CONFIG), *theirs = manifest("{}");
	char text[1000];

	snprintf(text, sizeof(text), "{\"manifests\":[{\"digest\":\"sha256:%s\",\"platform\":"
		 "{\"architecture\":\"" THEIRS "\"}},{\"digest\":\"sha256:%s\",\"platform\":"
		 "{\"architecture\":\"" OURS "\"}},{\"digest\":\"sha256:%s\",\"platform\":"
		 "{\"architecture\":\"unknown\"}}]}", theirs, ours, theirs);
	index_of(ONE, blob(text), "");
	ck_assert_int_eq(oci_open("--root", "i:one", &oci), 0);
	ck_assert_str_eq(oci.manifest, ours);
	oci_close(&oci);
}
END_TEST

static void refused(const char *text, const char *why)
{
	char wanted[400];

	stderr_begin(&said);
	ck_assert_int_eq(oci_open("--root oci:i", text, &oci), -EIO);
	snprintf(wanted, sizeof(wanted), "lunette: error: --root oci:i: %s", why);
	ck_assert_msg(!strncmp(stderr_end(&said), wanted, strlen(wanted)), "%s", said.text);
	ck_assert_int_eq(oci.folder, -1);
}

#define ENTRY(tag)                                                                           \
	"{\"digest\":\"sha256:%s\",\"annotations\":{\"" TAG "\":\"" tag "\"}}"
#define TWO "{\"manifests\":[" ENTRY("docker.io/x:one") "," ENTRY("two") "]}"

START_TEST(which_one)
{
	const char *one = manifest("{}");

	index_of(TWO, one, manifest(CONFIG));
	refused("i", "it has 2 images; one has to be named, oci:DIR:TAG: docker.io/x:one two\n");
	refused("i:three", "no image of that tag for " OURS " in it; there are: docker.io/x:one "
		"two");
	ck_assert_int_eq(oci_open("--root", "i:one", &oci), 0);
	ck_assert_str_eq(oci.manifest, one);
	oci_close(&oci);
	index_of("{}", "", "");
	refused("i", "its manifest: has no layers");
}
END_TEST

START_TEST(no_layout)
{
	refused("none", "none: No such file or directory\n");
	refused("none:x", "none: No such file or directory\n");
	refused("i", "index.json: is not there: no image layout, as 'skopeo copy");
	ck_assert_int_eq(mkdir("i/index.json", 0700), 0);
	refused("i", "index.json: is no file of 4 MiB at most");
	ck_assert_int_eq(rmdir("i/index.json"), 0);
	ck_assert_int_eq(mkfifo("i/index.json", 0700), 0);
	refused("i", "index.json: is no file of 4 MiB at most");
	unlink("i/index.json");
	write_text("i/index.json", "");
	ck_assert_int_eq(truncate("i/index.json", 5 << 20), 0);
	refused("i", "index.json: is no file of 4 MiB at most");
	index_of("[1]", "", "");
	refused("i", "index.json: is no object of JSON");
	index_of("{\"a\":", "", "");
	refused("i", "index.json: ");
}
END_TEST

/* No digest is a path, and no file is another one than its digest says. */
START_TEST(digests)
{
	static const char *const bad[] = { "../../../etc/passwd", "", "sha256", "x",
					   LAYER "1", "11" };
	char path[200];
	const char *is;
	unsigned n;

	for (n = 0; n < sizeof(bad) / sizeof(bad[0]); n++) {
		index_of(ONE, bad[n], "");
		refused("i", "a digest: is missing, or no SHA-256\n");
	}
	index_of("{\"manifests\":[{\"digest\":\"sha512:%s\"}]}", LAYER LAYER, "");
	refused("i", "a digest: is missing, or no SHA-256\n");
	index_of(ONE, LAYER, "");
	refused("i", "blobs/sha256/" LAYER ": No such file or directory");
	is = manifest("{}");
	index_of(ONE, is, "");
	snprintf(path, sizeof(path), "i/blobs/sha256/%s", is);
	write_text(path, "{}");
	snprintf(path, sizeof(path), "blobs/sha256/%s: the file is damaged: it has another", is);
	refused("i", path);
}
END_TEST

START_TEST(nonsense)
{
	char text[300];

	index_of(ONE, blob("{\"layers\":[{\"digest\":\"sha256:../x\"}]}"), "");
	refused("i", "the digest of a layer: is missing, or no SHA-256");
	index_of(ONE, blob("{\"layers\":{}}"), "");
	refused("i", "its manifest: has no layers, or more than 128");
	index_of(ONE, blob("{\"layers\":[{\"digest\":\"sha256:" LAYER "\"}],\"config\":7}"), "");
	refused("i", "a digest: is missing");
	index_of(ONE, manifest("{\"config\":{\"WorkingDir\":\"x\"}}"), "");
	refused("i", "x: is no folder that commands could run in");
	index_of(ONE, manifest("{\"config\":{\"Env\":[1,\"A=1\",null],\"User\":7}}"), "");
	ck_assert_int_eq(oci_open("--root", "i", &oci), 0);
	ck_assert_str_eq(oci.env[0], "A=1");
	ck_assert(!oci.env[1] && !oci.user);
	oci_close(&oci);
	strcpy(text, blob("{}"));
	index_of(ONE, blob("{\"manifests\":[]}"), "");
	refused("i", "no image of that tag");
}
END_TEST

Suite *oci_suite(void)
{
	Suite *s = suite_create("oci");
	TCase *tc = unit_case(s, "oci");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, what_it_says);
	tcase_add_test(tc, says_nothing);
	tcase_add_test(tc, for_this_machine);
	tcase_add_test(tc, which_one);
	tcase_add_test(tc, no_layout);
	tcase_add_test(tc, digests);
	tcase_add_test(tc, nonsense);
	return s;
}

UNIT_MAIN(oci_suite)
