#include "storage/name_lookup.h"

#include "storage/server.h"

/* A table that is filled to three quarters needs a second page about once in a thousand names. */
enum { PAGES_READ_MAX = 32 };

bool name_lookup_begin(struct name_lookup *lookup, struct storage_loop *loop, struct span name)
{
    lookup->loop = loop;
    return loop->names.count > 0 && !err_is(fdfs_id_parse(name, &lookup->id));
}

static void finish(struct name_lookup *lookup, err_t err)
{
    lookup->err = err;
    lookup->done(lookup);
}

/* ---- a page ---- */

static err_t take_id(struct name_lookup *lookup, struct span id)
{
    char text[FID_TEXT_MAX];
    const char *group = lookup->loop->store.config.group;
    struct writer w = {(uint8_t *)text, sizeof text, 0, false};
    write_bytes(&w, group, strlen(group));
    write_u8(&w, '/');
    write_bytes(&w, id.data, id.size);
    if (w.failed)
        return ERR(CORRUPT, 0);
    lookup->is_found = !err_is(fid_parse(span_of(text, w.size), &lookup->name.fid));
    return lookup->is_found ? ERR_OK : ERR(CORRUPT, 0);
}

/* The page is one piece: it is smaller than the smallest piece there may be. */
static void put(struct outlet *outlet, struct span data, bool is_last, struct machine *machine)
{
    struct name_lookup *lookup = CONTAINER_OF(outlet, struct name_lookup, outlet);
    struct span id = span_of(NULL, 0);
    outlet->err =
        is_last ? names_page_find(data, &lookup->key, &id, &lookup->has_more) : ERR(CORRUPT, 0);
    if (!err_is(outlet->err) && id.size > 0)
        outlet->err = take_id(lookup, id);
    machine_arrive(machine);
}

static void page_known(struct find *find)
{
    (void)find; /* put() tells all */
}

static void page_over(struct find *find);

static void read_page(struct name_lookup *lookup)
{
    lookup->has_more = false;
    lookup->pages_read++;
    lookup->outlet = (struct outlet){.put = put};
    lookup->find = (struct find){.fid = lookup->asked,
        .offset = (uint64_t)lookup->page * NAMES_PAGE_SIZE,
        .size = NAMES_PAGE_SIZE,
        .on_result = page_known,
        .done = page_over,
        .context = lookup};
    find_start(&lookup->find, &lookup->loop->store, &lookup->outlet);
}

/* ---- the maps ---- */

static void begin_key(struct name_lookup *lookup)
{
    lookup->map_next = lookup->loop->names.count;
    if (lookup->is_for_master)
        names_key_of_master(&lookup->id, &lookup->key);
    else
        names_key_of(&lookup->id, &lookup->key);
}

static void next_map(struct name_lookup *lookup)
{
    if (lookup->map_next == 0 && lookup->id.is_slave && !lookup->is_for_master) {
        lookup->is_for_master = true;
        begin_key(lookup);
    }
    if (lookup->map_next == 0) {
        finish(lookup, ERR(NOT_FOUND, 0));
        return;
    }
    lookup->asked = lookup->loop->names.maps[--lookup->map_next];
    err_t err = store_check_id(&lookup->loop->store, &lookup->asked);
    if (err_is(err)) {
        finish(lookup, err);
        return;
    }
    lookup->page_count = (uint32_t)(lookup->asked.size / NAMES_PAGE_SIZE);
    lookup->page = names_page_of(&lookup->key, lookup->page_count);
    lookup->pages_read = 0;
    read_page(lookup);
}

static void found(struct name_lookup *lookup)
{
    lookup->name.tail = lookup->is_for_master ? lookup->id.rest : span_of(NULL, 0);
    finish(lookup, store_check_id(&lookup->loop->store, &lookup->name.fid));
}

/* A map that was deleted has no names any more. */
static void page_over(struct find *find)
{
    struct name_lookup *lookup = find->context;
    err_t err = find->machine.err;
    if (err_is(err) && !err_has(err, ERR_CODE_NOT_FOUND)) {
        finish(lookup, err);
    } else if (lookup->is_found) {
        found(lookup);
    } else if (!err_is(err) && lookup->has_more && lookup->pages_read < PAGES_READ_MAX) {
        lookup->page = (lookup->page + 1) % lookup->page_count;
        read_page(lookup);
    } else {
        next_map(lookup);
    }
}

void name_lookup_start(struct name_lookup *lookup)
{
    lookup->name = (struct fdfs_name){0};
    lookup->is_for_master = lookup->is_found = false;
    begin_key(lookup);
    next_map(lookup);
}
