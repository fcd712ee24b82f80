#include "disk/single_copy.h"

static void copy_step(struct single_copy *copy);

static void copy_end(struct single_copy *copy, err_t err)
{
    copy->err = err;
    copy->reader->chain.done = NULL;
    copy->writer->chain.done = NULL;
    machine_arrive(copy->reader->chain.machine);
}

static void copy_read(struct single_chain *chain)
{
    struct single_copy *copy = chain->context;
    if (err_is(chain->err))
        copy_end(copy, chain->err);
    else
        single_writer_write(copy->writer, copy->reader->data);
}

static void copy_written(struct single_chain *chain)
{
    struct single_copy *copy = chain->context;
    copy->at += copy->reader->data.size;
    if (err_is(chain->err))
        copy_end(copy, chain->err);
    else
        copy_step(copy);
}

/* Each read ends at a block's end, so that no block is read twice. */
static void copy_step(struct single_copy *copy)
{
    if (copy->at == copy->end) {
        copy_end(copy, ERR_OK);
        return;
    }
    uint64_t size = copy->buffer_size / BLOCK_SIZE * BLOCK_SIZE - copy->at % BLOCK_SIZE;
    uint64_t left = copy->end - copy->at;
    single_reader_read(copy->reader, copy->at, size < left ? size : left, copy->buffer);
}

void single_copy_range(struct single_copy *copy, struct single_reader *reader,
    struct single_writer *writer, uint64_t from, uint64_t to, void *buffer, size_t buffer_size)
{
    CHECK(buffer_size >= SINGLE_COPY_BUFFER_MIN && from <= to);
    CHECK(reader->chain.machine == writer->chain.machine);
    *copy = (struct single_copy){.reader = reader,
        .writer = writer,
        .buffer = buffer,
        .buffer_size = buffer_size,
        .at = from,
        .end = to};
    reader->chain.done = copy_read;
    writer->chain.done = copy_written;
    reader->chain.context = writer->chain.context = copy;
    if (to > reader->header.size)
        copy_end(copy, ERR(RANGE, 0));
    else
        copy_step(copy);
}
