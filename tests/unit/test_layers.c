/* SPDX-License-Identifier: MIT */
#include "tests/unit/erofs_fixture.h"

#include "tests/unit/extract_fixture.h"

#include <lzma.h>
#include <sha2.h>
#include <zlib.h>
#include <zstd.h>

#include "vmm/run/files/layers.h"

Suite *layers_suite(void);

enum packing { PLAIN, GZIP, XZ, ZSTD };

static char digest[4][LAYERS_DIGEST + 1];
static unsigned layers;
static int image;
static struct inode i;

static void begin_test(void)
{
	set_up();
	ck_assert_int_eq(mkdirat(folder, "blobs", 0755), 0);
	ck_assert_int_eq(mkdirat(folder, "blobs/sha256", 0755), 0);
	image = memfd_create("image", MFD_CLOEXEC);
}

static void end_test(void)
{
	close(image);
	tear_down();
}

static void begin(void)
{
	size = 0;
	ck_assert_int_eq(ftruncate(archive, 0), 0);
}

static void file(const char *path, const char *text)
{
	put(&(struct entry){ .type = '0', .name = path, .data = text });
}

static void link_to(const char *path, const char *target, bool hard)
{
	put(&(struct entry){ .type = hard ? '1' : '2', .name = path, .link = target });
}

/* Its end, and all of it packed. */
static void finish(enum packing how)
{
	static uint8_t plain[1 << 20], packed[1 << 20];
	z_stream z = { .next_in = plain, .next_out = packed, .avail_out = sizeof(packed) };
	size_t n = 0;

	put_end();
	if (how != PLAIN)
		ck_assert_int_eq(pread(archive, plain, sizeof(plain), 0), (ssize_t)size);
	if (how == GZIP) {
		z.avail_in = size;
		deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
		ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
		n = z.total_out;
		deflateEnd(&z);
	} else if (how == XZ) {
		ck_assert_int_eq(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, NULL, plain, size,
							 packed, &n, sizeof(packed)), LZMA_OK);
	} else if (how == ZSTD) {
		n = ZSTD_compress(packed, sizeof(packed), plain, size, 1);
	}
	if (how != PLAIN) {
		begin();
		ck_assert_int_eq(pwrite(archive, packed, n, 0), (ssize_t)n);
		size = n;
	}
	ck_assert_int_eq(lseek(archive, 0, SEEK_SET), 0);
}

/* The archive becomes a layer of the image. */
static void make_layer(enum packing how)
{
	static uint8_t bytes[1 << 20];
	char path[100];
	int fd;

	finish(how);
	ck_assert_int_eq(pread(archive, bytes, sizeof(bytes), 0), (ssize_t)size);
	SHA256Data(bytes, size, digest[layers]);
	snprintf(path, sizeof(path), LAYERS_BLOB, digest[layers++]);
	fd = openat(folder, path, O_WRONLY | O_CREAT, 0644);
	ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
	close(fd);
	begin();
}

static int write_image(struct layers_cfg cfg)
{
	int sig = 0;

	cfg.what = "--root x";
	cfg.image = image;
	cfg.deadline = now_ms() + 30000;
	return layers_write(&cfg, &sig);
}

static int write_layers(void)
{
	return write_image((struct layers_cfg){
		.from = folder, .digest = (const char (*)[LAYERS_DIGEST + 1])digest,
		.layers = layers, .workdir = "/srv/dir" });
}

static int write_tar(void)
{
	return write_image((struct layers_cfg){ .from = archive, .layers = 1 });
}

/* It is refused, and a line says why. */
static void refused(const char *why)
{
	char wanted[300];

	stderr_begin(&said);
	ck_assert_int_eq(write_tar(), -EIO);
	snprintf(wanted, sizeof(wanted), "lunette: error: --root x: %s\n", why);
	ck_assert_str_eq(stderr_end(&said), wanted);
}

START_TEST(archives)
{
	put(&(struct entry){ .type = 'x', .name = "x",
			     .data = "SCHILY.xattr.security.capability=12345678901234567890" });
	put(&(struct entry){ .type = '0', .name = "./d/file", .data = "text", .mode = 04711 });
	link_to("second", "d/file", true);
	link_to("link", "/etc/passwd", false);
	put(&(struct entry){ .type = '3', .name = "null" });
	put(&(struct entry){ .type = '6', .name = "fifo" });
	file("d/\xff name", "odd");
	file(".wh.d", "no whiteout");
	finish(_i);
	ck_assert_int_eq(write_tar(), 0);
	check_text(image, "second", "text");
	check_text(image, "link", "/etc/passwd");
	check_text(image, "d/\xff name", "odd");
	check_text(image, ".wh.d", "no whiteout");
	ck_assert(find_path(image, "d/file", &i));
	ck_assert_uint_eq(i.mode, S_IFREG | 04711);
	ck_assert_uint_eq(i.uid, 4711);
	ck_assert_uint_eq(i.gid, 4711);
	ck_assert_int_eq(i.mtime, 1000000000);
	ck_assert_uint_eq(i.links, 2);
	ck_assert_uint_gt(i.xattrs, 0);
	ck_assert(find_path(image, "null", &i));
	ck_assert(S_ISCHR(i.mode));
	ck_assert(find_path(image, "fifo", &i));
	ck_assert(S_ISFIFO(i.mode));
}
END_TEST

START_TEST(names_that_lead_out)
{
	begin();
	file("a/../../x", "x");
	finish(PLAIN);
	refused("a/../../x: its name has '..'");
	begin();
	link_to("x", "../../etc/passwd", true);
	finish(PLAIN);
	refused("x: its name has '..'");
	begin();
	link_to("x", "/etc/passwd", true);
	finish(PLAIN);
	refused("x: it is a hard link to what is not there");
	/* an absolute name is one from the tree's top */
	begin();
	link_to("tmp", "/", false);
	file("/tmp/lunette-was-here", "x");
	finish(PLAIN);
	ck_assert_int_eq(write_tar(), 0);
	check_text(image, "lunette-was-here", "x");
	ck_assert_int_lt(access("/tmp/lunette-was-here", F_OK), 0);
}
END_TEST

/* An image in an archive is no root file system. */
START_TEST(image_in_an_archive)
{
	begin();
	file("./oci-layout", "{}");
	finish(PLAIN);
	refused("it has an OCI image in it, and is no root: 'mkdir DIR; tar -C DIR -xf' and --root "
		"oci:DIR");
}
END_TEST

/* What an entry claims is believed only as far as there is room; of holes nothing is written. */
START_TEST(giants)
{
	begin();
	put(&(struct entry){ .type = 'x', .name = "x", .data = "size=99999999999999999" });
	file("giant", "x");
	finish(PLAIN);
	stderr_begin(&said);
	ck_assert_int_eq(write_tar(), -EIO);
	ck_assert_str_eq(stderr_end(&said),
			 "lunette: error: --root x: giant: it is larger than 1 TiB\n");
	begin();
	file("small", "x");
	put(&(struct entry){ .type = '0', .name = "cut", .data = "x", .claim = 077777777777 });
	finish(PLAIN);
	stderr_begin(&said);
	ck_assert_int_eq(write_tar(), -EIO);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "--root x: cut: "));
}
END_TEST

START_TEST(not_an_archive)
{
	ck_assert_int_eq(write_tar(), 0); /* an empty one has nothing */
	ck_assert_int_eq(pwrite(archive, "no archive at all", 17, 0), 17);
	stderr_begin(&said);
	ck_assert_int_eq(write_tar(), -EIO);
	stderr_end(&said);
	begin();
	file("a", "some text that will be cut");
	finish(GZIP);
	ck_assert_int_eq(ftruncate(archive, 60), 0);
	stderr_begin(&said);
	ck_assert_int_eq(write_tar(), -EIO);
	stderr_end(&said);
}
END_TEST

START_TEST(layers_with_whiteouts)
{
	begin();
	file("gone/file", "x");
	file("kept", "old");
	file("opaque/old", "x");
	link_to("lib", "usr/lib", false);
	file("usr/lib/a", "a");
	make_layer(GZIP);
	begin();
	file(".wh.gone", "");
	file("kept", "new");
	file("opaque/.wh..wh..opq", "");
	file("opaque/new", "y");
	file("lib/b", "b");
	file(".wh.", "");
	make_layer(ZSTD);
	ck_assert_int_eq(write_layers(), 0);
	ck_assert(!find_path(image, "gone", &i));
	ck_assert(!find_path(image, "opaque/old", &i));
	ck_assert(!find_path(image, ".wh.gone", &i));
	check_text(image, "kept", "new");
	check_text(image, "opaque/new", "y");
	check_text(image, "usr/lib/a", "a");
	check_text(image, "usr/lib/b", "b");
	ck_assert(find_path(image, "srv/dir", &i));
	ck_assert_uint_eq(i.mode, S_IFDIR | 0755);
}
END_TEST

START_TEST(damaged_layer)
{
	char path[100], wanted[200];
	int fd;

	begin();
	file("a", "text");
	make_layer(PLAIN);
	snprintf(path, sizeof(path), LAYERS_BLOB, digest[0]);
	fd = openat(folder, path, O_WRONLY | O_APPEND);
	ck_assert_int_eq(write(fd, "x", 1), 1); /* behind its end */
	close(fd);
	stderr_begin(&said);
	ck_assert_int_eq(write_layers(), -EIO);
	snprintf(wanted, sizeof(wanted), "lunette: error: --root x: layer 1 (sha256:%.12s...): the "
		 "file is damaged: it has another digest\n", digest[0]);
	ck_assert_str_eq(stderr_end(&said), wanted);
	ck_assert_int_eq(unlinkat(folder, path, 0), 0);
	ck_assert_int_eq(mkfifoat(folder, path, 0600), 0);
	stderr_begin(&said);
	ck_assert_int_eq(write_layers(), -EIO);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), ": is no regular file\n"));
}
END_TEST

Suite *layers_suite(void)
{
	Suite *s = suite_create("layers");
	TCase *tc = unit_case(s, "layers");

	tcase_add_checked_fixture(tc, begin_test, end_test);
	tcase_add_loop_test(tc, archives, 0, 4);
	tcase_add_test(tc, names_that_lead_out);
	tcase_add_test(tc, image_in_an_archive);
	tcase_add_test(tc, giants);
	tcase_add_test(tc, not_an_archive);
	tcase_add_test(tc, layers_with_whiteouts);
	tcase_add_test(tc, damaged_layer);
	return s;
}

UNIT_MAIN(layers_suite)
