/* SPDX-License-Identifier: MIT */
/*
 * near.h - the word that somebody meant who has typed another one.
 *
 *	near_begin(&n, "kernl");
 *	near_try(&n, "kernel");                 for each word that there is
 *	log_err("...%s", near_text(&n, "--", buf));     "; did you mean --kernel?"
 */
#ifndef CORE_NEAR_H
#define CORE_NEAR_H

#define NEAR_MAX 32 /* bytes; longer words are like no other */
#define NEAR_TEXT (NEAR_MAX + 32)

struct near {
	const char *typed, *best; /* borrowed; NULL: none so far */
	unsigned distance; /* of the best one; others have to be nearer */
};

void near_begin(struct near *n, const char *typed);
void near_try(struct near *n, const char *word);
/* Words to put behind a message, @mark before the word that was meant; "": none is near. */
const char *near_text(const struct near *n, const char *mark, char buf[NEAR_TEXT]);

#endif
