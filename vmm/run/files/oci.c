/* SPDX-License-Identifier: MIT */
#include "vmm/run/files/oci.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sha2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/core/util.h"

#define INDEX "index.json"
#define TEXT_MAX MIB(4) /* bytes, as registries have it */
#define INDICES_MAX 4   /* one in the other */
#define REF_NAME "org.opencontainers.image.ref.name"
#define PREFIX "sha256:"

struct reader {
	const char *what, *tag; /* tag NULL: the only one */
	struct oci *oci;
};

static int refuse(const struct reader *r, const char *name, const char *why)
{
	log_err("%s: %.100s: %.200s", r->what, name, why);
	return -EIO;
}

/* Files. */

/* All of a regular file; malloc()ed. NULL after one line. */
static char *read_text(const struct reader *r, const char *path, size_t *size)
{
	int fd = openat(r->oci->folder, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const char *why = NULL;
	char *text = NULL;
	struct stat st;
	ssize_t n = -1;

	if (fd < 0 || fstat(fd, &st) < 0)
		why = strerror(errno);
	else if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > TEXT_MAX)
		why = "is no file of 4 MiB at most";
	else
		text = malloc(st.st_size + 1);
	if (text)
		n = read(fd, text, st.st_size);
	if (!why && n < 0)
		why = strerror(text ? errno : ENOMEM);
	if (fd >= 0)
		close(fd);
	*size = n < 0 ? 0 : n;
	if (!why)
		return text;
	free(text);
	refuse(r, path, why);
	return NULL;
}

static json_t *parse(const struct reader *r, const char *path, const char *text, size_t size)
{
	json_error_t error;
	json_t *json = json_loadb(text, size, 0, &error);

	if (json_is_object(json))
		return json;
	refuse(r, path, json ? "is no object of JSON" : error.text);
	json_decref(json);
	return NULL;
}

/* "sha256:" and 64 digits: what becomes a name of a file. */
static bool take_digest(const json_t *descriptor, char digest[LAYERS_DIGEST + 1])
{
	const char *text = json_string_value(json_object_get(descriptor, "digest"));

	if (!text || strncmp(text, PREFIX, strlen(PREFIX)))
		return false;
	text += strlen(PREFIX);
	if (strlen(text) != LAYERS_DIGEST || text[strspn(text, "0123456789abcdef")])
		return false;
	strcpy(digest, text);
	return true;
}

/* The object in the blob that @descriptor names, and its digest. NULL after one line. */
static json_t *read_blob(const struct reader *r, const json_t *descriptor,
			 char digest[LAYERS_DIGEST + 1])
{
	char path[sizeof(LAYERS_BLOB) + LAYERS_DIGEST], is[SHA256_DIGEST_STRING_LENGTH], *text;
	json_t *json = NULL;
	size_t size;

	if (!take_digest(descriptor, digest)) {
		refuse(r, "a digest", "is missing, or no SHA-256");
		return NULL;
	}
	snprintf(path, sizeof(path), LAYERS_BLOB, digest);
	text = read_text(r, path, &size);
	if (!text)
		return NULL;
	SHA256Data((const uint8_t *)text, size, is);
	if (strcmp(is, digest))
		refuse(r, path, "the file is damaged: it has another digest");
	else
		json = parse(r, path, text, size);
	free(text);
	return json;
}

/* Which image. */

/* As images call this machine, whose guest it will be. */
static const char *architecture(void)
{
	static const char *const names[][2] = { { "x86_64", "amd64" }, { "aarch64", "arm64" } };
	struct utsname uts;
	unsigned i;

	uname(&uts);
	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(uts.machine, names[i][0]))
			return names[i][1];
	return "riscv64";
}

/* Also one that does not say. */
static bool is_for_us(const json_t *descriptor)
{
	const json_t *platform = json_object_get(descriptor, "platform");
	const char *arch = json_string_value(json_object_get(platform, "architecture"));

	return !arch || !strcmp(arch, architecture());
}

static const char *tag_of(const json_t *descriptor)
{
	return json_string_value(json_object_get(json_object_get(descriptor, "annotations"),
						 REF_NAME));
}

/* "TAG", or what tools call in full "docker.io/library/x:TAG". */
static bool has_tag(const json_t *descriptor, const char *tag)
{
	const char *is = tag_of(descriptor), *colon = is ? strrchr(is, ':') : NULL;

	return is && (!strcmp(is, tag) || (colon && !strcmp(colon + 1, tag)));
}

static int refuse_choice(const struct reader *r, const json_t *list, unsigned found)
{
	char names[300] = "";
	size_t n = 0, i;

	for (i = 0; i < json_array_size(list) && n < sizeof(names); i++)
		if (tag_of(json_array_get(list, i)))
			n += snprintf(names + n, sizeof(names) - n, " %s",
				      tag_of(json_array_get(list, i)));
	if (found)
		log_err("%s: it has %u images; one has to be named, oci:DIR:TAG:%s", r->what,
			found, *names ? names : " but none has a tag");
	else
		log_err("%s: no image of that tag for %s in it;%s%s", r->what, architecture(),
			*names ? " there are:" : " there are no tags", names);
	return -EIO;
}

/* NULL after one line. */
static const json_t *choose(const struct reader *r, const json_t *index)
{
	const json_t *list = json_object_get(index, "manifests"), *one, *chosen = NULL;
	unsigned found = 0;
	size_t i;

	for (i = 0; i < json_array_size(list); i++) {
		one = json_array_get(list, i);
		if (!is_for_us(one) || (r->tag && !has_tag(one, r->tag)))
			continue;
		chosen = one;
		found++;
	}
	if (found == 1)
		return chosen;
	refuse_choice(r, list, found);
	return NULL;
}

/* The manifest that an index leads to, by others perhaps. NULL after one line. */
static json_t *find_manifest(const struct reader *r, json_t *index)
{
	struct reader in = *r;
	unsigned depth;
	json_t *next;

	for (depth = 0; index && json_object_get(index, "manifests"); depth++) {
		const json_t *one = depth < INDICES_MAX ? choose(&in, index) : NULL;

		if (depth == INDICES_MAX)
			refuse(r, INDEX, "leads to too many others");
		next = one ? read_blob(r, one, r->oci->manifest) : NULL;
		json_decref(index);
		index = next;
		in.tag = NULL;
	}
	return index;
}

/* What it is made of, and says. */

static int take_layers(const struct reader *r, const json_t *manifest)
{
	const json_t *list = json_object_get(manifest, "layers");
	size_t n = json_array_size(list), i;
	struct oci *oci = r->oci;

	if (!n || n > LAYERS_MAX)
		return refuse(r, "its manifest", "has no layers, or more than 128");
	oci->layer = calloc(n, sizeof(*oci->layer));
	if (!oci->layer)
		return refuse(r, "its manifest", strerror(ENOMEM));
	for (i = 0; i < n; i++)
		if (!take_digest(json_array_get(list, i), oci->layer[i]))
			return refuse(r, "the digest of a layer", "is missing, or no SHA-256");
	oci->layers = n;
	return 0;
}

static void free_words(oci_words words)
{
	char **word;

	for (word = words; word && *word; word++)
		free(*word);
	free(words);
}

/* NULL: there are none. */
static oci_words take_words(const json_t *config, const char *key)
{
	const json_t *list = json_object_get(config, key);
	size_t n = json_array_size(list), i, k = 0;
	oci_words words = n ? calloc(n + 1, sizeof(*words)) : NULL;

	for (i = 0; words && i < n; i++) {
		const char *text = json_string_value(json_array_get(list, i));

		words[k] = text ? strdup(text) : NULL;
		k += !!words[k];
	}
	return words;
}

static char *take_text(const json_t *config, const char *key)
{
	const char *text = json_string_value(json_object_get(config, key));

	return text && *text ? strdup(text) : NULL;
}

static int take_config(const struct reader *r, const json_t *manifest)
{
	char digest[LAYERS_DIGEST + 1];
	json_t *blob = read_blob(r, json_object_get(manifest, "config"), digest);
	const json_t *config = json_object_get(blob, "config");
	struct oci *oci = r->oci;

	if (!blob)
		return -EIO;
	oci->env = take_words(config, "Env");
	oci->entry = take_words(config, "Entrypoint");
	oci->command = take_words(config, "Cmd");
	oci->workdir = take_text(config, "WorkingDir");
	oci->user = take_text(config, "User");
	json_decref(blob);
	if (oci->workdir && *oci->workdir != '/')
		return refuse(r, oci->workdir, "is no folder that commands could run in");
	return 0;
}

/* DIR or DIR:TAG; a folder may have a colon in its name. */
static int open_folder(struct reader *r, const char *text)
{
	int fd = open(text, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = errno;
	const char *colon = strrchr(text, ':');
	char *dir;

	if (fd >= 0 || !colon || strchr(colon, '/')) {
		if (fd < 0)
			log_err("%s: %s: %s", r->what, text, strerror(err));
		return fd;
	}
	r->tag = colon + 1;
	dir = strndup(text, colon - text);
	fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd < 0)
		log_err("%s: %s: %s", r->what, dir ? dir : text, strerror(errno));
	free(dir);
	return fd;
}

static int read_image(const struct reader *r)
{
	json_t *manifest;
	size_t size;
	char *text;
	int ret;

	if (faccessat(r->oci->folder, INDEX, F_OK, 0) < 0)
		return refuse(r, INDEX, "is not there: no image layout, as 'skopeo copy "
			      "docker://NAME oci:DIR:TAG' makes it");
	text = read_text(r, INDEX, &size);
	manifest = text ? parse(r, INDEX, text, size) : NULL;
	free(text);
	if (manifest)
		manifest = find_manifest(r, manifest);
	if (!manifest)
		return -EIO;
	ret = take_layers(r, manifest);
	if (ret == 0)
		ret = take_config(r, manifest);
	json_decref(manifest);
	return ret;
}

int oci_open(const char *what, const char *text, struct oci *oci)
{
	struct reader r = { .what = what, .oci = oci };
	int ret;

	*oci = (struct oci){ .folder = -1 };
	oci->folder = open_folder(&r, text);
	ret = oci->folder < 0 ? -EIO : read_image(&r);
	if (ret < 0)
		oci_close(oci);
	return ret;
}

void oci_close(struct oci *oci)
{
	if (oci->folder >= 0)
		close(oci->folder);
	free(oci->layer);
	free_words(oci->env);
	free_words(oci->entry);
	free_words(oci->command);
	free(oci->workdir);
	free(oci->user);
	*oci = (struct oci){ .folder = -1 };
}
