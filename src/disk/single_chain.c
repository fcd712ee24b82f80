#include "disk/single_chain.h"

#include <errno.h>

void chain_init(struct single_chain *chain, struct io *io, struct machine *machine)
{
    CHECK(!chain->is_active);
    *chain = (struct single_chain){.io = io, .machine = machine};
}

void chain_begin(struct single_chain *chain)
{
    CHECK(!chain->is_active && chain->machine != NULL);
    chain->is_active = true;
    chain->tolerates = false;
    chain->err = ERR_OK;
}

void chain_end(struct single_chain *chain, err_t err)
{
    CHECK(chain->is_active);
    chain->is_active = false;
    chain->err = err;
    if (chain->done)
        chain->done(chain);
    else
        machine_arrive(chain->machine);
}

/* One operation of the chain has ended. */
static void chain_settle(struct single_chain *chain, int64_t result)
{
    bool tolerates = chain->tolerates;
    chain->tolerates = false;
    chain->result = result;
    if (result < 0 && !tolerates)
        chain_end(chain, ERR_RESULT(result));
    else
        chain->next(chain);
}

static void wake_simple(struct io_op *op)
{
    chain_settle(op->context, op->result);
}

static void chain_submit(struct single_chain *chain, struct io_op op, single_chain_next *next)
{
    CHECK(chain->is_active);
    op.owner = &chain->machine->owner;
    op.handle_life = LIFE_REQUEST;
    op.context = chain;
    if (!op.wake)
        op.wake = wake_simple;
    chain->next = next;
    chain->op = op;
    io_submit(chain->io, &chain->op);
}

void chain_open(struct single_chain *chain, int root, const char *path, uint32_t flags,
    struct io_handle *handle, single_chain_next *next)
{
    chain_submit(chain,
        (struct io_op){
            .kind = IO_OPEN, .fd = root, .path = path, .open_flags = flags, .ret_handle = handle},
        next);
}

static void wake_transfer(struct io_op *op);

static void transfer_go_on(struct single_chain *chain, enum io_kind kind, int fd)
{
    chain->iov = (struct iovec){chain->data, chain->left};
    chain_submit(chain,
        (struct io_op){.kind = kind,
            .fd = fd,
            .iov = &chain->iov,
            .iov_count = 1,
            .offset = chain->offset,
            .wake = wake_transfer},
        chain->next);
}

/* Reads and writes may be short at will: what is left goes again. */
static void wake_transfer(struct io_op *op)
{
    struct single_chain *chain = op->context;
    int64_t result = op->result;
    if (result == 0 && op->kind == IO_WRITE)
        result = -EIO;
    if (result < 0) {
        chain_settle(chain, result);
        return;
    }
    CHECK((size_t)result <= chain->left);
    chain->data += result;
    chain->left -= (size_t)result;
    chain->offset += (uint64_t)result;
    chain->moved += result;
    if (chain->left == 0 || result == 0)
        chain_settle(chain, chain->moved);
    else
        transfer_go_on(chain, op->kind, op->fd);
}

static void transfer_begin(struct single_chain *chain, enum io_kind kind, int fd, size_t size,
    uint64_t offset, single_chain_next *next)
{
    CHECK(size > 0);
    chain->left = size;
    chain->offset = offset;
    chain->moved = 0;
    chain->next = next;
    transfer_go_on(chain, kind, fd);
}

void chain_read(struct single_chain *chain, int fd, void *data, size_t size, uint64_t offset,
    single_chain_next *next)
{
    chain->data = data;
    transfer_begin(chain, IO_READ, fd, size, offset, next);
}

void chain_write(
    struct single_chain *chain, int fd, struct span bytes, uint64_t offset, single_chain_next *next)
{
    chain->constant = bytes.data; /* a write only reads: iovec has no const */
    transfer_begin(chain, IO_WRITE, fd, bytes.size, offset, next);
}

void chain_sync(struct single_chain *chain, int fd, single_chain_next *next)
{
    chain_submit(chain, (struct io_op){.kind = IO_SYNC, .fd = fd}, next);
}

void chain_resize(struct single_chain *chain, int fd, uint64_t size, single_chain_next *next)
{
    chain_submit(chain, (struct io_op){.kind = IO_RESIZE, .fd = fd, .size = size}, next);
}

void chain_stat(struct single_chain *chain, int fd, single_chain_next *next)
{
    chain_submit(chain, (struct io_op){.kind = IO_STAT, .fd = fd, .ret_stat = &chain->stat}, next);
}

void chain_rename(struct single_chain *chain, int root, const char *path, const char *path_to,
    single_chain_next *next)
{
    chain_submit(chain,
        (struct io_op){.kind = IO_RENAME, .fd = root, .path = path, .path_to = path_to}, next);
}

void chain_unlink(struct single_chain *chain, int root, const char *path, single_chain_next *next)
{
    chain_submit(chain, (struct io_op){.kind = IO_UNLINK, .fd = root, .path = path}, next);
}

static void path_synced(struct single_chain *chain)
{
    io_handle_close(chain->io, chain->opened);
    chain->after_sync(chain);
}

static void path_opened(struct single_chain *chain)
{
    chain_sync(chain, chain->opened->fd, path_synced);
}

void chain_sync_path(struct single_chain *chain, int root, const char *path, uint32_t flags,
    struct io_handle *handle, single_chain_next *next)
{
    chain->opened = handle;
    chain->after_sync = next;
    chain_open(chain, root, path, flags, handle, path_opened);
}
