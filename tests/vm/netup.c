/* SPDX-License-Identifier: MIT */
/*
 * netup - calls net_up() of the guest's init, for tests/vm/net.sh.
 */
#include <stdio.h>
#include <string.h>

#include "guest/net.h"

int main(int argc, char **argv)
{
	int r = net_up(argc > 1 ? argv[1] : NULL);

	if (r < 0)
		printf("%s\n", strerror(-r));
	return r < 0;
}
