#include "disk/single_entry.h"

static struct single_entry *entry_of(struct single_chain *chain)
{
    return CONTAINER_OF(chain, struct single_entry, chain);
}

/* A name that is gone already is what was wanted of an unlink; a rename whose source is missing is a
 * file that we lost. */
static void name_changed(struct single_chain *chain)
{
    struct single_entry *entry = entry_of(chain);
    err_t err = chain->result < 0 ? ERR_RESULT(chain->result) : ERR_OK;
    if (err_has(err, ERR_CODE_NOT_FOUND))
        err = entry->is_rename ? ERR(IO, err.os) : ERR_OK;
    if (!err_is(err)) {
        single_dirty_add_directory(entry->dirty, entry->directory);
        if (entry->is_rename)
            single_dirty_add_new(entry->dirty);
    }
    chain_end(chain, err);
}

static void entry_begin(struct single_entry *entry, const struct single_mount *mount,
    struct machine *machine, const struct identity *identity, struct single_dirty *dirty)
{
    *entry = (struct single_entry){.dirty = dirty, .directory = single_directory_of(identity)};
    chain_init(&entry->chain, mount->io, machine);
    chain_begin(&entry->chain);
    entry->chain.tolerates = true;
}

void single_rename(struct single_entry *entry, const struct single_mount *mount,
    struct machine *machine, const struct identity *identity, struct version version,
    struct single_dirty *dirty)
{
    entry_begin(entry, mount, machine, identity, dirty);
    entry->is_rename = true;
    single_new_path(entry->path, mount->stream, identity, version);
    single_path(entry->path_to, identity);
    chain_rename(&entry->chain, mount->root->fd, entry->path, entry->path_to, name_changed);
}

void single_unlink(struct single_entry *entry, const struct single_mount *mount,
    struct machine *machine, const struct identity *identity, struct single_dirty *dirty)
{
    entry_begin(entry, mount, machine, identity, dirty);
    single_path(entry->path, identity);
    chain_unlink(&entry->chain, mount->root->fd, entry->path, name_changed);
}

void single_plan_begin(struct single_plan *plan, const struct record *record)
{
    plan->content = record->flags & RECORD_INLINE ? record->content : span_of(NULL, 0);
    plan->entries = record->entries;
    plan->content_offset = record->content_offset;
    if (!single_record_meta(record, &plan->meta))
        plan->meta = span_of(NULL, 0);
}

static void span_skip(struct span *span, size_t size)
{
    *span = span_of(span->data + size, span->size - size);
}

static struct span plan_take_content(struct single_plan *plan, uint64_t *ret_offset)
{
    struct blocks_extent extent;
    (void)blocks_extent_next(
        plan->content_offset, plan->content_offset + plan->content.size, &extent);
    struct span piece = span_of(plan->content.data, extent.size);
    span_skip(&plan->content, extent.size);
    plan->content_offset += extent.size;
    *ret_offset = extent.file_offset;
    return piece;
}

/* Entries of blocks that follow each other go together, as far as they are in one page. */
static struct span plan_take_entries(struct single_plan *plan, uint64_t *ret_offset)
{
    uint32_t first = get_u32(plan->entries.data), count = 0;
    struct blocks_entry_place place = blocks_entry_place(first);
    while (plan->entries.size >= 8 && count < RECORD_ENTRIES_MAX
           && get_u32(plan->entries.data) == first + count
           && place.index + count < BLOCKS_PER_GROUP) {
        plan->run[count++] = get_u32(plan->entries.data + 4);
        span_skip(&plan->entries, 8);
    }
    *ret_offset = place.page_offset + BLOCKS_PAGE_HEADER_SIZE + 4 * (uint64_t)place.index;
    return span_of(plan->run, 4 * (size_t)count);
}

bool single_plan_next(struct single_plan *plan, struct span *ret, uint64_t *ret_offset)
{
    if (plan->content.size > 0) {
        *ret = plan_take_content(plan, ret_offset);
        return true;
    }
    if (plan->entries.size >= 8) {
        *ret = plan_take_entries(plan, ret_offset);
        return true;
    }
    *ret = plan->meta;
    *ret_offset = 0;
    plan->meta = span_of(NULL, 0);
    return ret->size > 0;
}
