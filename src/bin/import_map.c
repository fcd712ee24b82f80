#include "bin/import_map.h"

#include "wire/names.h"

enum {
    NAMES_PER_PAGE_FIRST = NAMES_PAGE_ENTRIES * 3 / 4
}; /* on average: few names pass their page */

struct table {
    uint8_t *pages;
    uint32_t page_count;
    uint64_t count; /* of names */
};

/* ---- the names ---- */

/* "group1/M00/..." of the manifest, and the id it has now: without the group. False: the line is not of
 * a file of this group. */
static bool take_line(const struct import_map *map, const struct manifest_line *line,
    struct names_key *ret_key, struct span *ret_id)
{
    size_t size = strlen(map->group) + 1;
    struct fdfs_id id;
    if (strncmp(line->path, map->group, size - 1) != 0 || line->path[size - 1] != '/'
        || strncmp(line->id, map->group, size - 1) != 0 || line->id[size - 1] != '/'
        || err_is(fdfs_id_parse(span_of_text(line->path + size), &id)))
        return false;
    names_key_of(&id, ret_key);
    *ret_id = span_of_text(line->id + size);
    return ret_id->size <= NAMES_ID_MAX;
}

static void add_name(struct table *table, const struct names_key *key, struct span id)
{
    uint32_t page = names_page_of(key, table->page_count);
    while (!names_page_add(table->pages + page * (size_t)NAMES_PAGE_SIZE, key, id))
        page = (page + 1) % table->page_count;
    table->count++;
}

/* Where the lines begin that are in no map, and how many they are. */
static uint64_t count_new(
    const struct import_map *map, struct resume *manifest, size_t *ret_at, char *ret_last_map)
{
    struct manifest_line line;
    struct names_key key;
    struct span id;
    uint64_t count = 0;
    size_t at = 0;
    *ret_at = 0;
    ret_last_map[0] = '\0';
    while (resume_next(manifest, &at, &line)) {
        if (strcmp(line.path, IMPORT_MAP_PATH) == 0) {
            memcpy(ret_last_map, line.id, sizeof line.id);
            *ret_at = at;
            count = 0;
        } else {
            count += take_line(map, &line, &key, &id);
        }
    }
    return count;
}

static err_t take_table(struct import_map *map, uint64_t count, struct table *ret)
{
    void *block;
    uint64_t pages = (count + NAMES_PER_PAGE_FIRST - 1) / NAMES_PER_PAGE_FIRST;
    *ret = (struct table){.page_count = (uint32_t)pages};
    TRY(mem_take(&map->session->mem, &map->session->owner,
        ret->page_count * (size_t)NAMES_PAGE_SIZE, 4096, &block));
    ret->pages = block;
    for (uint32_t i = 0; i < ret->page_count; i++)
        names_page_init(ret->pages + i * (size_t)NAMES_PAGE_SIZE);
    return ERR_OK;
}

/* ---- stored ---- */

struct table_source {
    struct client_source source;
    const uint8_t *data;
    size_t size, offset;
};

static void fill(struct client_source *source, uint8_t *buffer, size_t size)
{
    struct table_source *table = CONTAINER_OF(source, struct table_source, source);
    size_t left = table->size - table->offset, piece = left < size ? left : size;
    const uint8_t *data = table->data + table->offset;
    (void)buffer;
    table->offset += piece;
    client_source_lent(source, data, piece);
}

static bool rewind_table(struct client_source *source)
{
    CONTAINER_OF(source, struct table_source, source)->offset = 0;
    return true;
}

static err_t store_table(
    struct import_map *map, const struct table *table, struct manifest_line *ret)
{
    struct table_source source = {.source = {.fill = fill, .rewind = rewind_table},
        .data = table->pages,
        .size = table->page_count * (size_t)NAMES_PAGE_SIZE};
    struct client_op op = {.type = MSG_UPLOAD, .source = &source.source, .group = map->group};
    op.request.upload = (struct msg_upload){
        .ack = map->ack, .size_known = 1, .size = source.size, .suffix = span_of_text("map")};
    err_t err = session_run(map->session, &op);
    if (err_is(err)) {
        session_fail(map->session, "the map of names", err, op.sentence);
        return err;
    }
    *ret = (struct manifest_line){.size = source.size, .crc = op.reply.uploaded.crc};
    (void)span_to_text(op.reply.uploaded.id, ret->id, sizeof ret->id);
    (void)span_to_text(span_of_text(IMPORT_MAP_PATH), ret->path, sizeof ret->path);
    session_check_ack(map->session, "the map of names", map->ack, op.reply.uploaded.ack,
        op.reply.uploaded.holders);
    return ERR_OK;
}

/* ---- told ---- */

static err_t tell_one(struct import_map *map, const struct candidate *storage, const char *id)
{
    char address[IO_ADDRESS_TEXT_MAX];
    struct client_op op = {.type = MSG_NAMES, .server = storage->address};
    op.request.names.id = span_of_text(id + strlen(map->group) + 1);
    err_t err = session_run(map->session, &op);
    if (err_is(err))
        session_fail(map->session, io_address_format(&storage->address, address), err, op.sentence);
    return err;
}

/* Every storage that runs; one that does not learns it from the others. */
static err_t tell(struct import_map *map, const char *id)
{
    struct client_op op = {.type = MSG_QUERY};
    op.request.query = (struct msg_query){.purpose = QUERY_FIND, .group = span_of_text(map->group)};
    err_t err = session_run(map->session, &op);
    if (err_is(err)) {
        session_fail(map->session, map->group, err, op.sentence);
        return err;
    }
    uint32_t told = 0;
    for (size_t i = 0; i < op.route.count; i++) {
        err_t tell_err = tell_one(map, &op.route.candidates[i], id);
        told += !err_is(tell_err);
        if (err_is(tell_err))
            err = tell_err;
    }
    return told > 0 ? ERR_OK : err;
}

/* ---- all of it ---- */

/* At most IMPORT_MAP_NAMES_MAX of the lines from *at on. */
static err_t make_one(struct import_map *map, struct resume *manifest, size_t *at, uint64_t *left)
{
    uint64_t count = *left < IMPORT_MAP_NAMES_MAX ? *left : IMPORT_MAP_NAMES_MAX;
    struct manifest_line line;
    struct table table;
    struct names_key key;
    struct span id;
    err_t err = take_table(map, count, &table);
    if (err_is(err)) {
        session_fail(map->session, "memory for the map of names", err, NULL);
        return err;
    }
    while (table.count < count && resume_next(manifest, at, &line))
        if (take_line(map, &line, &key, &id))
            add_name(&table, &key, id);
    err = store_table(map, &table, &line);
    mem_give(&map->session->mem, table.pages);
    TRY(err);
    map->names += table.count;
    map->maps++;
    *left -= count;
    TRY(tell(map, line.id));
    err = *left == 0 ? resume_append(manifest, &line) : ERR_OK;
    if (err_is(err))
        session_fail(map->session, map->manifest, err, "the map is stored, its line is not");
    return err;
}

static err_t make_all(struct import_map *map, struct resume *manifest)
{
    char last_map[FID_TEXT_MAX];
    size_t at;
    uint64_t left = count_new(map, manifest, &at, last_map);
    if (last_map[0] != '\0')
        TRY(tell(map, last_map));
    while (left > 0 && !map->session->was_interrupted)
        TRY(make_one(map, manifest, &at, &left));
    return ERR_OK;
}

err_t import_map_run(struct import_map *map)
{
    struct resume manifest;
    struct session *session = map->session;
    map->names = map->maps = 0;
    err_t err =
        resume_open(&manifest, session->io, &session->mem, &session->owner, map->manifest, true);
    if (err_is(err)) {
        session_fail(session, map->manifest, err, NULL);
        return err;
    }
    err = make_all(map, &manifest);
    resume_close(&manifest);
    return err;
}
