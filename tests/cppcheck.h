/* SPDX-License-Identifier: MIT */
/*
 * cppcheck.h - macros of others' headers, which cppcheck does not read: lists and loops by what
 * they stand for. Not compiled.
 */
#define LIST_HEAD(name, type) struct name { struct type *first; }
#define STAILQ_HEAD(name, type) struct name { struct type *first; }
#define TAILQ_HEAD(name, type) struct name { struct type *first; }
#define LIST_ENTRY(type) struct { struct type *next; }
#define STAILQ_ENTRY(type) struct { struct type *next; }
#define TAILQ_ENTRY(type) struct { struct type *next; }
#define LIST_FOREACH(var, head, field) for (var = (head)->first; var; var = var->field.next)
#define STAILQ_FOREACH(var, head, field) for (var = (head)->first; var; var = var->field.next)
#define TAILQ_FOREACH(var, head, field) for (var = (head)->first; var; var = var->field.next)
#define json_object_foreach(object, key, value) for (key = "", value = object; value; value = 0)
#define json_array_foreach(array, index, value) \
	for (index = 0, value = array; index < 2; index++)
