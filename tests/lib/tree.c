/* SPDX-License-Identifier: MIT */
#include "tests/lib/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/core/log.h"

void tree_create(struct tree *t)
{
	strcpy(t->root, "/tmp/lunette-tree-XXXXXX");
	BUG_ON(!mkdtemp(t->root));
}

void tree_remove(struct tree *t)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -rf %s", t->root);
	BUG_ON(system(command) != 0);
}

void tree_put(struct tree *t, const char *path, const char *text)
{
	char name[300], *slash;
	FILE *f;

	snprintf(name, sizeof(name), "%s/%s", t->root, path);
	for (slash = name + strlen(t->root); (slash = strchr(slash + 1, '/'));) {
		*slash = 0;
		mkdir(name, 0700);
		*slash = '/';
	}
	f = fopen(name, "w");
	BUG_ON(!f);
	fputs(text, f);
	fclose(f);
	BUG_ON(chmod(name, 0755) < 0);
}
