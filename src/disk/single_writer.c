#include "disk/single_writer.h"

#include <errno.h>

static struct single_writer *writer_of(struct single_chain *chain)
{
    return CONTAINER_OF(chain, struct single_writer, chain);
}

/* A directory that is missing is our disk's fault, not "no such file". */
static err_t create_err(int64_t result)
{
    return result == -ENOENT ? ERR(IO, ENOENT) : ERR_RESULT(result);
}

static void writer_create(struct single_chain *chain, single_chain_next *next)
{
    struct single_writer *writer = writer_of(chain);
    chain->tolerates = true;
    chain_open(chain, writer->mount->root->fd, writer->path,
        IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_EXCLUSIVE, &writer->handle, next);
}

static void writer_created(struct single_chain *chain)
{
    struct single_writer *writer = writer_of(chain);
    writer->exists = chain->result >= 0;
    writer->pour.fd = writer->handle.fd;
    chain_end(chain, chain->result < 0 ? create_err(chain->result) : ERR_OK);
}

static void leftover_removed(struct single_chain *chain)
{
    writer_create(chain, writer_created);
}

static void writer_created_first(struct single_chain *chain)
{
    struct single_writer *writer = writer_of(chain);
    if (chain->result == -EEXIST)
        chain_unlink(chain, writer->mount->root->fd, writer->path, leftover_removed);
    else
        writer_created(chain);
}

void single_writer_open(struct single_writer *writer, const struct single_mount *mount,
    struct machine *machine, const struct identity *identity, struct version version, uint8_t *page)
{
    *writer = (struct single_writer){
        .mount = mount,
        .handle = IO_HANDLE_NONE,
        .directory = IO_HANDLE_NONE,
        .identity = *identity,
        .version = version,
    };
    single_new_path(writer->path, mount->stream, identity, version);
    single_new_directory_path(writer->directory_path, mount->stream);
    fill_begin(&writer->pour.fill, page, 0, 0, 0);
    chain_init(&writer->chain, mount->io, machine);
    chain_begin(&writer->chain);
    writer_create(&writer->chain, writer_created_first);
}

static void end_well(struct single_chain *chain)
{
    chain_end(chain, ERR_OK);
}

void single_writer_write(struct single_writer *writer, struct span content)
{
    chain_begin(&writer->chain);
    if (content.size > BLOCKS_CONTENT_MAX - single_writer_size(writer))
        chain_end(&writer->chain, ERR(TOO_LARGE, 0));
    else
        pour_write(&writer->pour, &writer->chain, content, end_well);
}

static void directory_synced(struct single_chain *chain)
{
    struct single_writer *writer = writer_of(chain);
    io_handle_close(chain->io, &writer->handle);
    chain_end(chain, ERR_OK);
}

static void writer_synced(struct single_chain *chain)
{
    struct single_writer *writer = writer_of(chain);
    chain_sync_path(chain, writer->mount->root->fd, writer->directory_path,
        IO_OPEN_READ | IO_OPEN_DIRECTORY, &writer->directory, directory_synced);
}

static void header_written(struct single_chain *chain)
{
    chain_sync(chain, writer_of(chain)->handle.fd, writer_synced);
}

/* The checksum page is not needed any more: its buffer becomes the header page. */
static void entries_written(struct single_chain *chain)
{
    struct single_writer *writer = writer_of(chain);
    uint8_t *page = writer->pour.fill.page;
    memset(page, 0, BLOCKS_PAGE_SIZE);
    writer->meta_size = single_meta_encode(&writer->header, writer->attributes, page);
    chain_write(chain, writer->handle.fd, span_of(page, BLOCKS_PAGE_SIZE), 0, header_written);
}

void single_writer_finish(
    struct single_writer *writer, const struct slot_header *header, struct span attributes)
{
    CHECK(attributes.size <= SLOT_ATTRIBUTES_MAX);
    writer->header = *header;
    writer->header.identity = writer->identity;
    writer->header.version = writer->header.birth = writer->version;
    writer->header.size = single_writer_size(writer);
    writer->header.slot_size = 0;
    writer->header.content_crc = single_writer_crc(writer);
    writer->header.attributes_size = (uint16_t)attributes.size;
    writer->attributes = attributes;
    chain_begin(&writer->chain);
    pour_finish(&writer->pour, &writer->chain, entries_written);
}

void single_writer_record(const struct single_writer *writer, struct record *record)
{
    uint64_t size = single_writer_size(writer);
    record->flags |= RECORD_RENAMES;
    record->identity = writer->identity;
    record->version = writer->version;
    record->content_offset = 0;
    record->total_size = size;
    record->content_size = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
    record->content_crc = single_writer_crc(writer);
    struct span meta = single_writer_meta(writer);
    if (record->flags & RECORD_AT_TARGET)
        record->target_meta = meta;
    else
        record->home_meta = meta;
}

static void writer_unlinked(struct single_chain *chain)
{
    writer_of(chain)->exists = false;
    chain_end(chain, ERR_OK);
}

void single_writer_abandon(struct single_writer *writer, struct machine *machine)
{
    if (!writer->mount) { /* never opened */
        machine_arrive(machine);
        return;
    }
    single_writer_close(writer);
    chain_begin(&writer->chain);
    if (!writer->exists) {
        chain_end(&writer->chain, ERR_OK);
        return;
    }
    writer->chain.tolerates = true;
    chain_unlink(&writer->chain, writer->mount->root->fd, writer->path, writer_unlinked);
}

void single_writer_close(struct single_writer *writer)
{
    if (!writer->mount)
        return;
    CHECK(!writer->chain.is_active);
    io_handle_close(writer->mount->io, &writer->directory);
    io_handle_close(writer->mount->io, &writer->handle);
}
