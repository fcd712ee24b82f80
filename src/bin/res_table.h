/* The rows of `cairn res`: read from what nodes answer, put together by a column, compared with rows that
 * were saved. */
#ifndef CAIRN_BIN_RES_TABLE_H
#define CAIRN_BIN_RES_TABLE_H

#include <jansson.h>

#include "base/mem.h"

enum { RES_ROWS_MAX = 8192, RES_WORD_MAX = 32, RES_SITE_MAX = 96 };

enum res_by { RES_BY_ALL, RES_BY_SITE, RES_BY_OWNER, RES_BY_DIRECTION, RES_BY_PEER, RES_BY_CLASS };

struct res_row {
    char node[RES_WORD_MAX]; /* own machine */
    char kind[RES_WORD_MAX];
    char direction[RES_WORD_MAX];
    char operation[RES_WORD_MAX];
    char life[RES_WORD_MAX];
    char site[RES_SITE_MAX]; /* "src/storage/intake.c:123 name"; "-" where rows were put together */
    uint64_t origin, peer;   /* machine numbers; 0: none; UINT64_MAX: several */
    int64_t count, bytes;    /* a difference may be negative */
    uint64_t oldest_ms, late, overdue, forsaken;
    int64_t per_minute; /* tenths */
    bool is_leak;
};

struct res_table {
    struct res_row *rows;
    size_t count;
    uint64_t left_off; /* rows that a node or this table had no room for */
};

/** Errors: NO_RESOURCE. */
MUST err_t res_table_init(struct res_table *table, struct mem *mem, struct owner *owner);
void res_table_fini(struct res_table *table, struct mem *mem);

/** Add the rows of an answer of `node` that are of `kind` ("": any) and whose oldest is at least
 * `older_ms` old. */
void res_table_read(struct res_table *table, const json_t *answer, const char *node,
    const char *kind, uint64_t older_ms);

/** Put rows together that agree in node, kind and the column. */
void res_table_group(struct res_table *table, enum res_by by);
/** Those with the most entries first. */
void res_table_sort(struct res_table *table);

/** All rows as JSON; the caller's to json_decref. */
json_t *res_table_save(const struct res_table *table);
/** Take away what was saved: what is left was acquired since and is still held (or, negative, given
 * back). False: it is no saved table. */
MUST bool res_table_subtract(struct res_table *table, const json_t *saved);

json_t *res_row_json(const struct res_row *row);
void res_row_print(const struct res_row *row);
void res_table_print_head(void);

#endif
