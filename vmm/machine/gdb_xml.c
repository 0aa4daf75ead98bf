/* SPDX-License-Identifier: MIT */
/* gdb_xml.c - the registers of a target as GDB wants them described. */
#include <stdio.h>
#include <string.h>

#include "vmm/machine/gdb_stub.h"

static void put_xml(char *xml, const char *text)
{
	size_t at = strlen(xml);

	snprintf(xml + at, GDB_XML_MAX - at, "%s", text);
}

void gdb_describe(const struct gdb_target *t, char *xml)
{
	const struct gdb_reg *reg;
	char line[200];

	snprintf(xml, GDB_XML_MAX, "<?xml version=\"1.0\"?>"
		 "<!DOCTYPE target SYSTEM \"gdb-target.dtd\">"
		 "<target><architecture>%s</architecture>", t->arch);
	for (reg = t->reg; reg->name; reg++) {
		if (reg == t->reg || strcmp(reg->feature, reg[-1].feature)) {
			snprintf(line, sizeof(line), "%s<feature name=\"%s\">",
				 reg == t->reg ? "" : "</feature>", reg->feature);
			put_xml(xml, line);
		}
		snprintf(line, sizeof(line), "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\"/>",
			 reg->name, reg->bits, reg->type);
		put_xml(xml, line);
	}
	put_xml(xml, "</feature></target>");
}
