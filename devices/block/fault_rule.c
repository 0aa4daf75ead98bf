/* SPDX-License-Identifier: MIT */
#include "devices/block/fault_rule.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

#define ALL_VERBS (1u << BLOCK_READ | 1u << BLOCK_WRITE | 1u << BLOCK_FLUSH | \
		   1u << BLOCK_DISCARD | 1u << BLOCK_ZERO)

static const struct {
	const char *name;
	unsigned bits;
} verbs[] = {
	{ "read", 1u << BLOCK_READ },
	{ "write", 1u << BLOCK_WRITE },
	{ "flush", 1u << BLOCK_FLUSH },
	{ "discard", 1u << BLOCK_DISCARD },
	{ "zero", 1u << BLOCK_ZERO },
	{ "any", ALL_VERBS },
};

static const struct {
	const char *name;
	int err;
} errors[] = {
	{ "EIO", -EIO },
	{ "ENODATA", -ENODATA },
	{ "ENOSPC", -ENOSPC },
	{ "EDQUOT", -EDQUOT },
	{ "EROFS", -EROFS },
	{ "ENXIO", -ENXIO },
	{ "ETIMEDOUT", -ETIMEDOUT },
};

/* Words. Each returns whether its value makes sense; @value is "" for a word without one. */

static bool number(const char *text, uint64_t *out, const char **end)
{
	char *stop;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*out = strtoull(text, &stop, 10);
	*end = stop;
	return !errno;
}

static bool whole_number(const char *text, uint64_t *out)
{
	const char *end;

	return number(text, out, &end) && !*end;
}

static bool word_lba(struct fault_rule *r, const char *value)
{
	const char *end;

	if (!number(value, &r->first, &end))
		return false;
	r->last = r->first;
	return !*end || (*end == '-' && whole_number(end + 1, &r->last) && r->last >= r->first);
}

static bool word_after(struct fault_rule *r, const char *value)
{
	return whole_number(value, &r->after);
}

static bool word_times(struct fault_rule *r, const char *value)
{
	return whole_number(value, &r->times);
}

static bool word_error(struct fault_rule *r, const char *value)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(errors); i++)
		if (!strcmp(errors[i].name, value))
			r->effect.err = errors[i].err;
	return r->effect.err;
}

/* KEY/ASC/ASCQ, SPC-4 4.5 */
static bool word_sense(struct fault_rule *r, const char *value)
{
	unsigned key, asc, ascq;
	int end = 0;

	if (strspn(value, "0123456789abcdefABCDEF/") != strlen(value) ||
	    sscanf(value, "%1x/%2x/%2x%n", &key, &asc, &ascq, &end) != 3 || value[end] || !key)
		return false;
	r->effect.err = -(int)(BLOCK_ERR_TOLD | key << 16 | asc << 8 | ascq);
	r->effect.done = key == 1;
	return true;
}

static bool word_delay(struct fault_rule *r, const char *value)
{
	uint64_t ms;

	if (!whole_number(value, &ms) || !ms || ms > 3600 * 1000)
		return false;
	r->effect.delay = ms;
	return true;
}

static bool word_torn(struct fault_rule *r, const char *value)
{
	r->effect.torn = true;
	return whole_number(value, &r->effect.torn_at);
}

static bool word_hang(struct fault_rule *r, const char *value)
{
	r->effect.hang = true;
	return !*value;
}

static bool word_lost(struct fault_rule *r, const char *value)
{
	r->effect.lost = true;
	return !*value;
}

static bool word_cut(struct fault_rule *r, const char *value)
{
	r->effect.cut = true;
	return !*value;
}

static const struct {
	const char *name;
	bool (*set)(struct fault_rule *r, const char *value);
} words[] = {
	{ "lba", word_lba },     { "after", word_after }, { "times", word_times },
	{ "error", word_error }, { "sense", word_sense }, { "delay", word_delay },
	{ "hang", word_hang },   { "lost", word_lost },   { "torn", word_torn },
	{ "cut", word_cut },
};

static bool set_word(struct fault_rule *r, char *word)
{
	char *value = strchr(word, '=');
	unsigned i;

	if (value)
		*value++ = 0;
	for (i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(words[i].name, word))
			return words[i].set(r, value ? value : "");
	return false;
}

static bool set_verb(struct fault_rule *r, const char *word)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(verbs[i].name, word))
			r->verbs = verbs[i].bits;
	return r->verbs;
}

static bool has_effect(const struct fault_effect *e)
{
	return e->err || e->delay || e->hang || e->lost || e->cut || e->torn;
}

/* Cuts @text up. */
static bool parse_rule(struct fault_rule *r, char *text)
{
	char *save, *word = strtok_r(text, ":", &save);

	*r = (struct fault_rule){ .last = UINT64_MAX, .times = UINT64_MAX };
	if (!word || !set_verb(r, word))
		return false;
	while ((word = strtok_r(NULL, ":", &save)))
		if (!set_word(r, word))
			return false;
	return has_effect(&r->effect);
}

int fault_rules_parse(struct fault_rules *rules, const char *who, const char *text)
{
	size_t len;

	for (rules->count = 0; *text; text += text[len] ? len + 1 : len) {
		char rule[256];

		len = strcspn(text, "+");
		if (rules->count == FAULT_RULES || len >= sizeof(rule)) {
			log_err("%s: fault=: at most %d rules, of less than %zu characters", who,
				FAULT_RULES, sizeof(rule));
			return -EUSAGE;
		}
		memcpy(rule, text, len);
		rule[len] = 0;
		if (!parse_rule(&rules->rule[rules->count++], rule)) {
			log_err("%s: fault=%.*s: is no rule; one is VERB:WORD..., as "
				"write:lba=0-7:after=1:times=1:error=EIO; words are lba= after= "
				"times= error= sense= delay= torn= hang lost cut", who, (int)len,
				text);
			return -EUSAGE;
		}
	}
	return 0;
}

static bool matches(const struct fault_rules *rules, const struct fault_rule *r,
		    const struct block_req *req)
{
	uint64_t first = req->off / rules->block_size;
	uint64_t last = (req->off + (req->len ? req->len - 1 : 0)) / rules->block_size;

	if (!(r->verbs & 1u << req->io))
		return false;
	return req->io == BLOCK_FLUSH || (first <= r->last && last >= r->first);
}

struct fault_effect fault_rules_match(struct fault_rules *rules, const struct block_req *req)
{
	unsigned i;

	for (i = 0; i < rules->count; i++) {
		struct fault_rule *r = &rules->rule[i];
		uint64_t number;

		if (!matches(rules, r, req))
			continue;
		number = r->seen++;
		if (number >= r->after && number - r->after < r->times)
			return r->effect;
	}
	return (struct fault_effect){ 0 };
}
