/* SPDX-License-Identifier: MIT */
/*
 * net.h - the guest's side of --net user: addresses come on the kernel's command line, so that no
 * time is spent on asking for them.
 */
#ifndef GUEST_NET_H
#define GUEST_NET_H

#include <stdbool.h>

/*
 * Brings lo up and, when @word is not NULL, eth0: @word is "ADDRESS/PREFIX,GATEWAY,DNS", all IPv4,
 * the value of lunette.net=. Writes /etc/resolv.conf then. IPv6 addresses come by themselves.
 * -EINVAL: @word is not of that form; other -errno: the first step that failed, and the rest was
 * not done.
 */
int net_up(const char *word);

/*
 * Lets /etc/resolv.conf be what a file system that is mounted at @root has there, too, even if it
 * is one that cannot be written. Where it has no such file and cannot get one, nothing is done.
 * @in_memory: what is written there is lost anyway, so a link to nowhere may go.
 */
void net_keep_resolver(const char *root, bool in_memory);

#endif
