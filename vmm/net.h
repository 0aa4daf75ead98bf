/*
 * net.h - --net and --publish: which network device the guest gets, and what it is told of it.
 */
#ifndef VMM_NET_H
#define VMM_NET_H

struct opt_list;

/*
 * The text of the device for --net @net with --publish of each of @publish, to be freed. NULL in
 * *@text: there is to be none. -errno after one line. [setup]
 */
int net_device(const char *net, const struct opt_list *publish, char **text);

/* The word for the guest's command line, with a space before it; "": there is nothing to say. */
const char *net_words(const char *net);

#endif
