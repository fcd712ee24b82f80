#include "disk/single_reader.h"

static struct single_reader *reader_of(struct single_chain *chain)
{
    return CONTAINER_OF(chain, struct single_reader, chain);
}

static uint8_t *reader_page(struct single_reader *reader)
{
    return reader->buffer + BLOCKS_PAGE_SIZE;
}

/* The checksums that came with the header are those of its content, all of it: in the middle of a
 * change in place they are the new ones, and the header is the old one. Of a larger file the header
 * tells. */
static err_t reader_check_table(struct single_reader *reader)
{
    const struct slot_header *header = &reader->header;
    uint64_t count = blocks_count(header->size);
    if (header->flags & SLOT_CHANGING)
        return ERR(CORRUPT, 0);
    if (!(header->flags & SLOT_MUTABLE) || count == 0 || single_is_marked(header->size))
        return ERR_OK;
    if (reader->group != 0)
        return ERR(CORRUPT, 0);
    const void *table = reader_page(reader) + BLOCKS_PAGE_HEADER_SIZE;
    uint32_t crc = blocks_combine(0, table, 0, count, header->size);
    return crc == header->content_crc ? ERR_OK : ERR(CORRUPT, 0);
}

static void head_read(struct single_chain *chain)
{
    struct single_reader *reader = reader_of(chain);
    size_t size = (size_t)chain->result;
    struct span head = span_of(reader->buffer, size < BLOCKS_PAGE_SIZE ? size : BLOCKS_PAGE_SIZE);
    err_t err = single_meta_decode(head, &reader->identity, &reader->header);
    if (!err_is(err))
        reader->attributes = slot_attributes(head, &reader->header);
    reader->group = size == SINGLE_READER_BUFFER ? 0 : SINGLE_NO_GROUP;
    chain_end(chain, err_is(err) ? err : reader_check_table(reader));
}

static void reader_opened(struct single_chain *chain)
{
    struct single_reader *reader = reader_of(chain);
    chain_read(chain, reader->handle.fd, reader->buffer, SINGLE_READER_BUFFER, 0, head_read);
}

void single_reader_open(struct single_reader *reader, const struct single_mount *mount,
    struct machine *machine, const struct identity *identity, uint8_t *buffer)
{
    *reader = (struct single_reader){.mount = mount,
        .handle = IO_HANDLE_NONE,
        .identity = *identity,
        .buffer = buffer,
        .group = SINGLE_NO_GROUP};
    single_path(reader->path, identity);
    chain_init(&reader->chain, mount->io, machine);
    chain_begin(&reader->chain);
    chain_open(&reader->chain, mount->root->fd, reader->path, IO_OPEN_READ, &reader->handle,
        reader_opened);
}

uint64_t single_reader_room(const struct single_reader *reader, uint64_t offset, uint64_t size)
{
    uint64_t left = offset < reader->header.size ? reader->header.size - offset : 0;
    uint64_t end = size < left ? offset + size : reader->header.size;
    struct blocks_range range = blocks_covering(reader->header.size, offset, end);
    return range.end - range.begin;
}

static void reader_step(struct single_chain *chain);

/* The piece at reader->at, which lies in one piece in the file. */
static struct blocks_extent reader_extent(const struct single_reader *reader)
{
    struct blocks_extent extent;
    bool is_there = blocks_extent_next(reader->at, reader->range.end, &extent);
    CHECK(is_there);
    return extent;
}

static void data_read(struct single_chain *chain)
{
    struct single_reader *reader = reader_of(chain);
    struct blocks_extent extent = reader_extent(reader);
    if ((uint64_t)chain->result < extent.size) {
        chain_end(chain, ERR(CORRUPT, 0));
        return;
    }
    struct blocks_range range = {.first = extent.content_offset / BLOCK_SIZE,
        .count = blocks_count(extent.size),
        .begin = extent.content_offset,
        .end = extent.content_offset + extent.size};
    uint32_t index = blocks_entry_place(range.first).index;
    const void *table = reader_page(reader) + BLOCKS_PAGE_HEADER_SIZE + 4 * (size_t)index;
    err_t err =
        blocks_verify(&range, table, reader->into + (range.begin - reader->range.begin), NULL);
    if (err_is(err)) {
        chain_end(chain, err);
        return;
    }
    reader->at = range.end;
    reader_step(chain);
}

static void page_read(struct single_chain *chain)
{
    struct single_reader *reader = reader_of(chain);
    if (chain->result < BLOCKS_PAGE_SIZE) {
        chain_end(chain, ERR(CORRUPT, 0));
        return;
    }
    reader->group = blocks_entry_place(reader->at / BLOCK_SIZE).group;
    reader_step(chain);
}

static void reader_end(struct single_chain *chain)
{
    struct single_reader *reader = reader_of(chain);
    reader->data =
        span_of(reader->into + (reader->from - reader->range.begin), reader->to - reader->from);
    chain_end(chain, ERR_OK);
}

static void head_read_again(struct single_chain *chain)
{
    struct single_reader *reader = reader_of(chain);
    bool is_there = chain->result == SLOT_HEADER_SIZE
                    && memcmp(reader->again, reader->buffer, SLOT_HEADER_SIZE) == 0;
    if (is_there)
        reader_end(chain);
    else
        chain_end(chain, ERR(CORRUPT, 0));
}

/* Everything is read and matches its checksum; is it all of the content that the header names? */
static void reader_finish(struct single_reader *reader)
{
    if (!(reader->header.flags & SLOT_MUTABLE) || !single_is_marked(reader->header.size))
        reader_end(&reader->chain);
    else
        chain_read(
            &reader->chain, reader->handle.fd, reader->again, SLOT_HEADER_SIZE, 0, head_read_again);
}

static void reader_step(struct single_chain *chain)
{
    struct single_reader *reader = reader_of(chain);
    if (reader->at == reader->range.end) {
        reader_finish(reader);
        return;
    }
    struct blocks_entry_place place = blocks_entry_place(reader->at / BLOCK_SIZE);
    if (reader->group != place.group) {
        reader->group = SINGLE_NO_GROUP;
        chain_read(chain, reader->handle.fd, reader_page(reader), BLOCKS_PAGE_SIZE,
            place.page_offset, page_read);
        return;
    }
    struct blocks_extent extent = reader_extent(reader);
    chain_read(chain, reader->handle.fd, reader->into + (reader->at - reader->range.begin),
        extent.size, extent.file_offset, data_read);
}

void single_reader_read(struct single_reader *reader, uint64_t offset, uint64_t size, void *into)
{
    chain_begin(&reader->chain);
    reader->data = span_of(into, 0);
    if (offset > reader->header.size) {
        chain_end(&reader->chain, ERR(RANGE, 0));
        return;
    }
    uint64_t left = reader->header.size - offset;
    reader->from = offset;
    reader->to = offset + (size < left ? size : left);
    reader->into = into;
    reader->range = blocks_covering(reader->header.size, reader->from, reader->to);
    reader->at = reader->range.begin;
    if (reader->range.count == 0)
        chain_end(&reader->chain, ERR_OK);
    else
        reader_step(&reader->chain);
}

void single_reader_close(struct single_reader *reader)
{
    if (!reader->mount)
        return;
    CHECK(!reader->chain.is_active);
    io_handle_close(reader->mount->io, &reader->handle);
}
