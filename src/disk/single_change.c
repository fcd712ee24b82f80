#include "disk/single_change.h"

#include "base/crc.h"

/* buffer: | header as it was | checksum page | new header | block | */
enum {
    AT_PAGE = BLOCKS_PAGE_SIZE,
    AT_META = 2 * BLOCKS_PAGE_SIZE,
    AT_BLOCK = 3 * BLOCKS_PAGE_SIZE,
    HEAD_SIZE = 2 * BLOCKS_PAGE_SIZE,
};

static struct single_change *change_of(struct single_chain *chain)
{
    return CONTAINER_OF(chain, struct single_change, chain);
}

static uint8_t *change_page(const struct single_change *change)
{
    return change->buffer + AT_PAGE;
}

static void end_well(struct single_chain *chain)
{
    chain_end(chain, ERR_OK);
}

/* ---- open ---- */

static void head_stated(struct single_chain *chain)
{
    change_of(chain)->physical_size = chain->stat.size;
    chain_end(chain, ERR_OK);
}

static void head_read(struct single_chain *chain)
{
    struct single_change *change = change_of(chain);
    size_t size = (size_t)chain->result;
    struct span head = span_of(change->buffer, size < BLOCKS_PAGE_SIZE ? size : BLOCKS_PAGE_SIZE);
    err_t err = single_meta_decode(head, &change->identity, &change->header);
    if (!err_is(err) && change->header.flags & SLOT_CHANGING)
        err = ERR(CORRUPT, 0); /* the record of that change is lost */
    if (err_is(err)) {
        chain_end(chain, err);
        return;
    }
    change->attributes = slot_attributes(head, &change->header);
    change->old_size = change->header.size;
    change->group = size == HEAD_SIZE ? 0 : SINGLE_NO_GROUP;
    change->is_open = true;
    chain_stat(chain, change->handle.fd, head_stated);
}

static void change_opened(struct single_chain *chain)
{
    struct single_change *change = change_of(chain);
    chain_read(chain, change->handle.fd, change->buffer, HEAD_SIZE, 0, head_read);
}

void single_change_open(struct single_change *change, const struct single_mount *mount,
    struct machine *machine, const struct identity *identity, uint8_t *buffer)
{
    *change = (struct single_change){.mount = mount,
        .handle = IO_HANDLE_NONE,
        .identity = *identity,
        .buffer = buffer,
        .group = SINGLE_NO_GROUP};
    single_path(change->path, identity);
    chain_init(&change->chain, mount->io, machine);
    chain_begin(&change->chain);
    chain_open(&change->chain, mount->root->fd, change->path, IO_OPEN_READ | IO_OPEN_WRITE,
        &change->handle, change_opened);
}

/* ---- what the kinds share ---- */

static void change_begin(
    struct single_change *change, enum record_kind kind, const struct single_update *update)
{
    CHECK(change->is_open && change->kind == 0);
    CHECK(!update->has_attributes || update->attributes.size <= SLOT_ATTRIBUTES_MAX);
    change->kind = (uint8_t)kind;
    change->update = *update;
    change->offset = change->old_size;
    chain_begin(&change->chain);
}

/* The new header, as it is to stand on disk. */
static void change_make_meta(struct single_change *change, uint64_t size, uint32_t crc)
{
    const struct single_update *update = &change->update;
    struct span attributes = update->has_attributes ? update->attributes : change->attributes;
    struct slot_header *header = &change->header;
    if (update->is_final)
        header->flags &= (uint8_t)~SLOT_MUTABLE;
    header->version = update->version;
    header->nonce = update->nonce;
    header->modify_ns = update->modify_ns;
    header->size = size;
    header->content_crc = crc;
    header->attributes_size = (uint16_t)attributes.size;
    if (change->kind == RECORD_TRUNCATE && size < change->old_size)
        header->birth = update->version;
    change->meta_size = single_meta_encode(header, attributes, change->buffer + AT_META);
}

static void change_add_entry(struct single_change *change, uint64_t block, uint32_t crc)
{
    CHECK(change->entries_size + 8 <= sizeof change->entries);
    put_u32(change->entries + change->entries_size, (uint32_t)block);
    put_u32(change->entries + change->entries_size + 4, crc);
    change->entries_size += 8;
}

static void page_read(struct single_chain *chain)
{
    struct single_change *change = change_of(chain);
    if (chain->result < BLOCKS_PAGE_SIZE) {
        chain_end(chain, ERR(CORRUPT, 0));
        return;
    }
    change->group = blocks_entry_place(change->page_block).group;
    change->after_page(chain);
}

/* False: the checksum page of `block` is being read, `next` runs then. */
static bool change_has_page(struct single_change *change, uint64_t block, single_chain_next *next)
{
    struct blocks_entry_place place = blocks_entry_place(block);
    if (change->group == place.group)
        return true;
    change->group = SINGLE_NO_GROUP;
    change->page_block = block;
    change->after_page = next;
    chain_read(&change->chain, change->handle.fd, change_page(change), BLOCKS_PAGE_SIZE,
        place.page_offset, page_read);
    return false;
}

static uint32_t change_entry(const struct single_change *change, uint64_t block)
{
    struct blocks_entry_place place = blocks_entry_place(block);
    CHECK(change->group == place.group);
    return blocks_page_get(change_page(change), place.index);
}

static void change_read_block(struct single_change *change, uint64_t block, single_chain_next *next)
{
    chain_read(&change->chain, change->handle.fd, change->buffer + AT_BLOCK,
        blocks_size_at(change->old_size, block), blocks_file_offset(block * BLOCK_SIZE), next);
}

/* ---- write ---- */

static bool write_edit(const struct single_change *change, struct blocks_edit *ret)
{
    struct blocks_change range = {
        .old_size = change->old_size, .offset = change->offset, .size = change->content.size};
    return blocks_edit_at(&range, change->at, ret);
}

/* The new entry of the edited block, and what it does to the checksum of the whole: a CRC is linear,
 * so that a difference in a block counts shifted by what follows it. */
static err_t write_edit_apply(struct single_change *change, const struct blocks_edit *edit)
{
    uint32_t old = edit->old_size > 0 ? change_entry(change, edit->block) : 0, new;
    TRY(blocks_edit_apply(edit, change->buffer + AT_BLOCK, change->content.data, old, &new));
    uint64_t behind = change->old_size - edit->block * BLOCK_SIZE - edit->old_size;
    if (edit->new_size == edit->old_size)
        change->crc ^= crc32_combine(old ^ new, 0, behind);
    else /* it is the last: its old part goes, the new one takes its place */
        change->crc = crc32_combine(change->crc ^ old, new, edit->new_size - edit->old_size);
    change_add_entry(change, edit->block, new);
    change->at++;
    return ERR_OK;
}

static void write_step(struct single_chain *chain);

static void write_block_read(struct single_chain *chain)
{
    struct single_change *change = change_of(chain);
    struct blocks_edit edit;
    bool is_there = write_edit(change, &edit);
    CHECK(is_there);
    err_t err = chain->result < edit.old_size ? ERR(CORRUPT, 0) : write_edit_apply(change, &edit);
    if (err_is(err))
        chain_end(chain, err);
    else
        write_step(chain);
}

static void write_step(struct single_chain *chain)
{
    struct single_change *change = change_of(chain);
    struct blocks_edit edit;
    while (write_edit(change, &edit)) {
        if (edit.old_size > 0 && !change_has_page(change, edit.block, write_step))
            return;
        if (edit.needs_old) {
            change_read_block(change, edit.block, write_block_read);
            return;
        }
        err_t err = write_edit_apply(change, &edit);
        CHECK(!err_is(err)); /* nothing old was looked at */
    }
    uint64_t end = change->offset + change->content.size;
    change_make_meta(change, end > change->old_size ? end : change->old_size, change->crc);
    chain_end(chain, ERR_OK);
}

void single_change_write(struct single_change *change, const struct single_update *update,
    uint64_t offset, struct span content)
{
    change_begin(change, RECORD_WRITE, update);
    change->offset = offset;
    change->content = content;
    change->crc = change->header.content_crc;
    if (offset > change->old_size)
        chain_end(&change->chain, ERR(RANGE, 0));
    else if (content.size > SINGLE_WRITE_MAX || content.size > BLOCKS_CONTENT_MAX - offset)
        chain_end(&change->chain, ERR(TOO_LARGE, 0));
    else
        write_step(&change->chain);
}

/* ---- append and grow ---- */

/* Behind the committed end may be what an append left that never was committed. */
static void grow_trimmed(struct single_chain *chain)
{
    struct single_change *change = change_of(chain);
    uint64_t size = change->old_size;
    uint32_t partial = size % BLOCK_SIZE != 0 ? change_entry(change, size / BLOCK_SIZE) : 0;
    change->pour.fd = change->handle.fd;
    fill_begin(&change->pour.fill, change_page(change), size, change->header.content_crc, partial);
    change->group = SINGLE_NO_GROUP; /* the page is the pour's now */
    change->has_grown = true;
    change->after_trim(chain);
}

static void grow_begin(struct single_chain *chain)
{
    struct single_change *change = change_of(chain);
    uint64_t size = change->old_size;
    if (size % BLOCK_SIZE != 0 && !change_has_page(change, size / BLOCK_SIZE, grow_begin))
        return;
    if (change->physical_size > blocks_file_size(size))
        chain_resize(chain, change->handle.fd, blocks_file_size(size), grow_trimmed);
    else
        grow_trimmed(chain);
}

static void grow_synced(struct single_chain *chain)
{
    struct single_change *change = change_of(chain);
    const struct single_fill *fill = &change->pour.fill;
    if (fill_has_partial(fill))
        change_add_entry(change, fill->begin / BLOCK_SIZE, fill->partial_crc);
    change_make_meta(change, fill->position, fill->crc);
    chain_end(chain, ERR_OK);
}

static void grow_sync(struct single_chain *chain)
{
    chain_sync(chain, change_of(chain)->handle.fd, grow_synced);
}

void single_change_append(struct single_change *change, const struct single_update *update)
{
    change_begin(change, RECORD_APPEND, update);
    change->after_trim = end_well;
    grow_begin(&change->chain);
}

void single_change_append_write(struct single_change *change, struct span content)
{
    CHECK(change->kind == RECORD_APPEND && change->has_grown);
    uint64_t position = change->pour.fill.position, fresh = position - change->old_size;
    chain_begin(&change->chain);
    if (content.size > UINT32_MAX - fresh || content.size > BLOCKS_CONTENT_MAX - position)
        chain_end(&change->chain, ERR(TOO_LARGE, 0));
    else
        pour_write(&change->pour, &change->chain, content, end_well);
}

void single_change_append_finish(struct single_change *change)
{
    CHECK(change->kind == RECORD_APPEND && change->has_grown);
    chain_begin(&change->chain);
    pour_finish(&change->pour, &change->chain, grow_sync);
}

static void grow_entries_written(struct single_chain *chain)
{
    struct single_change *change = change_of(chain);
    chain_resize(chain, change->handle.fd, blocks_file_size(change->pour.fill.position), grow_sync);
}

static void grow_zeros_taken(struct single_chain *chain)
{
    pour_finish(&change_of(chain)->pour, chain, grow_entries_written);
}

static void grow_zeros(struct single_chain *chain)
{
    struct single_change *change = change_of(chain);
    pour_zeros(&change->pour, chain, change->end - change->old_size, grow_zeros_taken);
}

/* ---- shrink ---- */

/* Takes the last `size` bytes, whose checksum is `tail`, from a content with checksum `crc`. x^8 has
 * an order that divides 2^32 - 1, so that shifting back is shifting on by what is missing to that. */
static uint32_t crc_cut(uint32_t crc, uint32_t tail, uint64_t size)
{
    return crc32_combine(crc ^ tail, 0, UINT32_MAX - size % UINT32_MAX);
}

static uint32_t shrink_crc(const struct single_change *change)
{
    uint64_t size = change->offset;
    uint32_t part = (uint32_t)(size % BLOCK_SIZE);
    if (change->is_kept)
        return crc32_combine(change->crc, change->cut_crc, part);
    return crc_cut(change->header.content_crc, change->crc, change->old_size - size);
}

/* Combine the entries [at, end), page by page. */
static void shrink_step(struct single_chain *chain)
{
    struct single_change *change = change_of(chain);
    while (change->at < change->end) {
        if (!change_has_page(change, change->at, shrink_step))
            return;
        uint32_t entry = change_entry(change, change->at);
        change->crc =
            crc32_combine(change->crc, entry, blocks_size_at(change->old_size, change->at));
        change->at++;
    }
    change_make_meta(change, change->offset, shrink_crc(change));
    chain_sync(chain, change->handle.fd, end_well); /* from here on older records are not needed */
}

/* Of the blocks that stay and those that go, the fewer are combined. `tail`: checksum of what goes of
 * the block that is cut. */
static void shrink_combine(struct single_change *change, uint32_t tail)
{
    uint64_t size = change->offset, whole = size / BLOCK_SIZE;
    bool is_cut = size % BLOCK_SIZE != 0;
    uint64_t count = blocks_count(change->old_size), behind = whole + is_cut;
    change->is_kept = whole <= count - behind;
    change->at = change->is_kept ? 0 : behind;
    change->end = change->is_kept ? whole : count;
    change->crc = change->is_kept ? 0 : tail;
    shrink_step(&change->chain);
}

static void shrink_block_read(struct single_chain *chain)
{
    struct single_change *change = change_of(chain);
    uint64_t block = change->offset / BLOCK_SIZE;
    uint32_t old_size = blocks_size_at(change->old_size, block);
    uint32_t part = (uint32_t)(change->offset % BLOCK_SIZE);
    uint32_t entry = change_entry(change, block);
    err_t err = chain->result < old_size ? ERR(CORRUPT, 0)
                                         : blocks_cut(change->buffer + AT_BLOCK, old_size, part,
                                             entry, &change->cut_crc);
    if (err_is(err)) {
        chain_end(chain, err);
        return;
    }
    change_add_entry(change, block, change->cut_crc);
    shrink_combine(change, entry ^ crc32_combine(change->cut_crc, 0, old_size - part));
}

static void shrink_begin(struct single_chain *chain)
{
    struct single_change *change = change_of(chain);
    uint64_t block = change->offset / BLOCK_SIZE;
    if (change->offset % BLOCK_SIZE == 0)
        shrink_combine(change, 0);
    else if (change_has_page(change, block, shrink_begin))
        change_read_block(change, block, shrink_block_read);
}

void single_change_truncate(
    struct single_change *change, const struct single_update *update, uint64_t size)
{
    change_begin(change, RECORD_TRUNCATE, update);
    change->offset = size;
    change->end = size;
    change->after_trim = grow_zeros;
    if (size > BLOCKS_CONTENT_MAX)
        chain_end(&change->chain, ERR(TOO_LARGE, 0));
    else if (size < change->old_size)
        shrink_begin(&change->chain);
    else
        grow_begin(&change->chain);
}

/* ---- record, apply, end ---- */

void single_change_record(const struct single_change *change, struct record *record)
{
    CHECK(change->meta_size > 0);
    struct span meta = span_of(change->buffer + AT_META, change->meta_size);
    record->kind = change->kind;
    record->identity = change->header.identity;
    record->version = change->update.version;
    record->nonce = change->update.nonce;
    record->total_size = change->header.size;
    record->content_offset = change->offset;
    record->entries = span_of(change->entries, change->entries_size);
    record->content_size = record->content_crc = 0;
    record->flags &= (uint8_t)~RECORD_INLINE;
    if (change->kind == RECORD_WRITE) {
        record->flags |= RECORD_INLINE;
        record->content = change->content;
        record->content_size = (uint32_t)change->content.size;
        record->content_crc = crc32_update(0, change->content.data, change->content.size);
    } else if (change->kind == RECORD_APPEND) {
        record->content_size = (uint32_t)(change->header.size - change->old_size);
        record->content_crc = fill_fresh_crc(&change->pour.fill);
    }
    if (record->flags & RECORD_AT_TARGET)
        record->target_meta = meta;
    else
        record->home_meta = meta;
}

static void apply_note(struct single_chain *chain)
{
    struct single_change *change = change_of(chain);
    if (single_dirty_add_file(change->dirty, &change->identity))
        chain_end(chain, ERR_OK);
    else
        chain_sync(chain, change->handle.fd, end_well);
}

static void apply_step(struct single_chain *chain)
{
    struct single_change *change = change_of(chain);
    struct span bytes;
    uint64_t offset, size = change->header.size;
    if (single_plan_next(&change->plan, &bytes, &offset))
        chain_write(chain, change->handle.fd, bytes, offset, apply_step);
    else if (size < change->old_size)
        chain_resize(chain, change->handle.fd, blocks_file_size(size), apply_note);
    else
        apply_note(chain);
}

/* The new header, marked: readers of the old content stop, new ones wait at the lock. Nothing else is
 * written before this write has ended, and all goes through the page cache: whoever read something of
 * the change, and then reads the header, meets the mark or what came after it. */
static void apply_mark(struct single_change *change)
{
    struct slot_header marked = change->header;
    struct span meta = span_of(change->buffer + AT_META, change->meta_size);
    uint8_t *bytes = change->buffer + AT_BLOCK; /* no block is needed any more */
    marked.flags |= SLOT_CHANGING;
    uint32_t size = single_meta_encode(&marked, slot_attributes(meta, &marked), bytes);
    chain_write(&change->chain, change->handle.fd, span_of(bytes, size), 0, apply_step);
}

void single_change_apply(
    struct single_change *change, const struct record *stored, struct single_dirty *dirty)
{
    CHECK(change->meta_size > 0);
    change->dirty = dirty;
    change->is_open = false; /* nothing to give back from here on */
    single_plan_begin(&change->plan, stored);
    chain_begin(&change->chain);
    if (single_is_marked(change->old_size))
        apply_mark(change);
    else
        apply_step(&change->chain);
}

static void abandoned(struct single_chain *chain)
{
    io_handle_close(chain->io, &change_of(chain)->handle);
    chain_end(chain, ERR_OK);
}

void single_change_abandon(struct single_change *change, struct machine *machine)
{
    if (!change->mount) { /* never opened */
        machine_arrive(machine);
        return;
    }
    uint64_t size = blocks_file_size(change->old_size);
    chain_begin(&change->chain);
    if (!change->is_open || (!change->has_grown && change->physical_size <= size)) {
        abandoned(&change->chain);
        return;
    }
    change->chain.tolerates = true;
    chain_resize(&change->chain, change->handle.fd, size, abandoned);
}

void single_change_close(struct single_change *change)
{
    if (!change->mount)
        return;
    CHECK(!change->chain.is_active);
    io_handle_close(change->mount->io, &change->handle);
}
