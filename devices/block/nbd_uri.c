/* SPDX-License-Identifier: MIT */
#include "devices/block/nbd_uri.h"

#include <ctype.h>
#include <string.h>

#include "vmm/core/fail.h"
#include "vmm/core/log.h"

#define TCP "nbd://"
#define UNIX "nbd+unix://"
#define PORT "10809" /* IANA's */
#define BACK_SECONDS 60 /* as the vhost-user devices' comeback= */

/* A piece of the text. */
struct piece {
	const char *at;
	size_t len;
};

struct uri {
	struct piece host, port, path, export; /* a path, or host and port */
};

bool nbd_uri_is_one(const char *text)
{
	return !strncmp(text, TCP, strlen(TCP)) || !strncmp(text, UNIX, strlen(UNIX));
}

/* Up to one of @ends, or the end; @at is behind it then. */
static struct piece take(const char **at, const char *ends)
{
	struct piece p = { *at, strcspn(*at, ends) };

	*at += p.len;
	return p;
}

static bool is_port(struct piece p)
{
	return p.len && p.len <= 5 && strspn(p.at, "0123456789") >= p.len;
}

static bool parse_tcp(struct uri *uri, const char *at)
{
	if (*at == '[') {
		at++;
		uri->host = take(&at, "]");
		if (*at++ != ']')
			return false;
	} else {
		uri->host = take(&at, ":/?");
	}
	uri->port = (struct piece){ PORT, strlen(PORT) };
	if (*at == ':') {
		at++;
		uri->port = take(&at, "/?");
	}
	if (*at == '/')
		at++;
	uri->export = take(&at, "?");
	return !*at && uri->host.len && is_port(uri->port);
}

static bool parse_unix(struct uri *uri, const char *at)
{
	static const char socket[] = "?socket=";

	if (*at++ != '/')
		return false;
	uri->export = take(&at, "?");
	if (strncmp(at, socket, strlen(socket)))
		return false;
	at += strlen(socket);
	uri->path = take(&at, "&");
	return !*at && uri->path.len;
}

/* "%20" for instance, all of them. */
static bool is_encoded_well(const char *text)
{
	while ((text = strchr(text, '%'))) {
		if (!isxdigit((unsigned char)text[1]) || !isxdigit((unsigned char)text[2]) ||
		    !strncmp(text + 1, "00", 2))
			return false;
		text += 3;
	}
	return true;
}

static bool parse(struct uri *uri, const char *text)
{
	bool tcp = !strncmp(text, TCP, strlen(TCP));

	*uri = (struct uri){ 0 };
	return is_encoded_well(text) && (tcp ? parse_tcp(uri, text + strlen(TCP)) :
					       parse_unix(uri, text + strlen(UNIX)));
}

int nbd_uri_check(const char *text)
{
	struct uri uri;

	if (parse(&uri, text))
		return 0;
	log_err("%s: nbd://HOST[:PORT][/EXPORT] or nbd+unix:///[EXPORT]?socket=PATH is wanted",
		text);
	return -EUSAGE;
}

static int digit(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* Decoded, as a text of JSON. */
static void put(const char *key, struct piece p, FILE *out)
{
	size_t i;

	fprintf(out, "\"%s\":\"", key);
	for (i = 0; i < p.len; i++) {
		unsigned char c = (unsigned char)p.at[i];

		if (c == '%') {
			c = (unsigned char)(digit(p.at[i + 1]) << 4 | digit(p.at[i + 2]));
			i += 2;
		}
		if (c < 0x20)
			fprintf(out, "\\u%04x", c);
		else
			fprintf(out, c == '"' || c == '\\' ? "\\%c" : "%c", c);
	}
	fputs("\",", out);
}

void nbd_uri_put(const char *text, FILE *out)
{
	struct uri uri;

	parse(&uri, text);
	fputs("{\"driver\":\"nbd\",\"server\":{", out);
	if (uri.path.len) {
		put("path", uri.path, out);
		fputs("\"type\":\"unix\"},", out);
	} else {
		put("host", uri.host, out);
		put("port", uri.port, out);
		fputs("\"type\":\"inet\"},", out);
	}
	if (uri.export.len)
		put("export", uri.export, out);
	fprintf(out, "\"reconnect-delay\":%d,\"discard\":\"unmap\"}", BACK_SECONDS);
}
