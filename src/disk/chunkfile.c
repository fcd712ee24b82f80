#include "disk/chunkfile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc.h"

/* 0 magic | 4 CRC of bytes 8..127 | 8 format u32 | 12 machine u32 | 16 mount, stream, 0, 0
 * 20 number u32 | 24 chunk size u32 | 28 seed u32 | 32 created ns u64 | 40 storage uuid 16 | 56 gone birth u64 */
void chunk_header_encode(const struct chunk_header *header, uint8_t ret[CHUNK_HEADER_BYTES])
{
    memset(ret, 0, CHUNK_HEADER_BYTES);
    put_u32(ret, CHUNK_MAGIC);
    put_u32(ret + 8, CHUNK_FORMAT);
    put_u32(ret + 12, header->key.machine);
    ret[16] = header->key.mount;
    ret[17] = header->key.stream;
    put_u32(ret + 20, header->key.number);
    put_u32(ret + 24, header->chunk_size);
    put_u32(ret + 28, header->seed);
    put_u64(ret + 32, header->created_ns);
    memcpy(ret + 40, header->storage_uuid, 16);
    put_u64(ret + 56, header->gone_birth);
    put_u32(ret + 4, crc32_update(0, ret + 8, CHUNK_HEADER_BYTES - 8));
}

err_t chunk_header_decode(const uint8_t bytes[CHUNK_HEADER_BYTES], struct chunk_header *ret)
{
    if (get_u32(bytes) != CHUNK_MAGIC
        || get_u32(bytes + 4) != crc32_update(0, bytes + 8, CHUNK_HEADER_BYTES - 8))
        return ERR(CORRUPT, 0);
    if (get_u32(bytes + 8) != CHUNK_FORMAT)
        return ERR(FORMAT, 0);
    *ret = (struct chunk_header){
        .key = {get_u32(bytes + 12), bytes[16], bytes[17], get_u32(bytes + 20)},
        .chunk_size = get_u32(bytes + 24),
        .seed = get_u32(bytes + 28),
        .created_ns = get_u64(bytes + 32),
        .gone_birth = get_u64(bytes + 56)};
    memcpy(ret->storage_uuid, bytes + 40, 16);
    return ERR_OK;
}

void chunk_path(char path[CHUNK_NAME_MAX], const struct chunk_key *key)
{
    (void)snprintf(path, CHUNK_NAME_MAX, "chunks/%06x-%02x-%02x-%08x", key->machine, key->mount,
        key->stream, key->number);
}

bool chunk_name_parse(const char *name, struct chunk_key *ret)
{
    unsigned machine, mount, stream, number;
    if (strlen(name) != 21
        || sscanf(name, "%6x-%2x-%2x-%8x", &machine, &mount, &stream, &number) != 4)
        return false;
    *ret = (struct chunk_key){machine, (uint8_t)mount, (uint8_t)stream, number};
    char again[CHUNK_NAME_MAX];
    chunk_path(again, ret);
    return strcmp(again + strlen("chunks/"), name) == 0;
}

static bool key_equals(const struct chunk_key *a, const struct chunk_key *b)
{
    return a->machine == b->machine && a->mount == b->mount && a->stream == b->stream
           && a->number == b->number;
}

err_t chunk_files_init(struct chunk_files *files, struct io *io, struct mem *mem, uint32_t count,
    const struct io_handle *(*root_of)(void *context, const struct chunk_key *key), void *context)
{
    CHECK(count > 0);
    *files = (struct chunk_files){
        .io = io, .mem = mem, .count = count, .root_of = root_of, .context = context};
    owner_open(&files->owner, "chunk-files", DIRECTION_OWN, io_now(io));
    list_init(&files->free);
    list_init(&files->used);
    list_init(&files->hungry);
    void *block;
    TRY(map_init(&files->by_key, mem, count, io_random(io), &files->owner));
    TRY(mem_take(mem, &files->owner, sizeof(struct chunk_file) * count, 0, &block));
    files->all = block;
    for (uint32_t i = 0; i < count; i++) {
        files->all[i].handle = IO_HANDLE_NONE;
        files->all[i].files = files;
        list_init(&files->all[i].waiters);
        list_push_back(&files->free, &files->all[i].link);
    }
    return ERR_OK;
}

void chunk_files_fini(struct chunk_files *files)
{
    for (uint32_t i = 0; i < files->count && files->all; i++) {
        CHECK(files->all[i].pins == 0);
        io_handle_close(files->io, &files->all[i].handle);
    }
    mem_give(files->mem, files->all);
    map_fini(&files->by_key);
    owner_close(&files->owner);
}

static struct map_key map_key_of(const struct chunk_key *key)
{
    uint64_t high = (uint64_t)key->machine << 16 | (uint64_t)key->mount << 8 | key->stream;
    return (struct map_key){high, key->number};
}

static struct chunk_file *find_file(struct chunk_files *files, const struct chunk_key *key)
{
    return map_get_pointer(&files->by_key, map_key_of(key));
}

static void file_retire(struct chunk_file *file)
{
    CHECK(file->pins == 0);
    io_handle_close(file->files->io, &file->handle);
    file->state = CHUNK_FILE_FREE;
    map_remove(&file->files->by_key, map_key_of(&file->key));
    list_remove(&file->link);
    list_push_back(&file->files->free, &file->link);
}

/* A place in the cache: a free one, else the least recently used that nobody holds. */
static struct chunk_file *find_place(struct chunk_files *files)
{
    if (list_is_empty(&files->free)) {
        LIST_EACH (node, &files->used) {
            struct chunk_file *file = CONTAINER_OF(node, struct chunk_file, link);
            if (file->pins == 0) {
                file_retire(file);
                break;
            }
        }
    }
    struct list *node = list_pop_front(&files->free);
    return node ? CONTAINER_OF(node, struct chunk_file, link) : NULL;
}

static void ref_settle(struct chunk_ref *ref, struct chunk_file *file)
{
    ref->err = file->state == CHUNK_FILE_READY ? ERR_OK : file->err;
    ref->file = file->state == CHUNK_FILE_READY ? file : NULL;
    if (!ref->file)
        file->pins--;
}

static void file_settle(struct chunk_file *file, err_t err)
{
    if (file->is_forgotten)
        err = ERR(NOT_FOUND, 0);
    file->err = err;
    file->state = err_is(err) ? CHUNK_FILE_FAILED : CHUNK_FILE_READY;
    for (struct list *node; (node = list_pop_front(&file->waiters)) != NULL;) {
        struct chunk_ref *ref = CONTAINER_OF(node, struct chunk_ref, link);
        ref_settle(ref, file);
        machine_arrive(ref->machine);
    }
    if (file->state == CHUNK_FILE_FAILED && file->pins == 0)
        file_retire(file);
}

/* Reads may be short. True: there is more to be read. */
static bool file_take_bytes(struct chunk_file *file, int64_t result)
{
    if (result > 0)
        file->have += (uint32_t)result;
    return result > 0 && file->have < CHUNK_HEADER_BYTES;
}

/* The header is what a chunk file begins its life with: one without it was never made whole, for want
 * of space, say, and nothing is in it. */
static bool file_is_half_made(const struct chunk_file *file)
{
    static const uint8_t zeros[CHUNK_HEADER_BYTES];
    return file->have < CHUNK_HEADER_BYTES || memcmp(file->bytes, zeros, sizeof zeros) == 0;
}

static err_t file_check_header(struct chunk_file *file, int64_t result)
{
    if (result < 0)
        return ERR_RESULT(result);
    if (file_is_half_made(file))
        return ERR(NOT_FOUND, 0);
    TRY(chunk_header_decode(file->bytes, &file->header));
    return key_equals(&file->header.key, &file->key) ? ERR_OK : ERR(CORRUPT, 0);
}

static struct io_op file_read_op(struct chunk_file *file);

static void wake_read(struct io_op *op)
{
    struct chunk_file *file = op->context;
    if (file_take_bytes(file, op->result)) {
        file->op = file_read_op(file);
        io_submit(file->files->io, &file->op);
        return;
    }
    file_settle(file, file_check_header(file, op->result));
}

static struct io_op file_read_op(struct chunk_file *file)
{
    file->iov = (struct iovec){file->bytes + file->have, CHUNK_HEADER_BYTES - file->have};
    return (struct io_op){.kind = IO_READ,
        .fd = file->handle.fd,
        .iov = &file->iov,
        .iov_count = 1,
        .offset = file->have,
        .owner = &file->files->owner,
        .wake = wake_read,
        .context = file};
}

static void wake_open(struct io_op *op)
{
    struct chunk_file *file = op->context;
    if (op->result < 0) {
        file_settle(file, ERR_RESULT(op->result));
        return;
    }
    file->op = file_read_op(file);
    io_submit(file->files->io, &file->op);
}

static struct io_op file_open_op(struct chunk_file *file, int root)
{
    chunk_path(file->path, &file->key);
    return (struct io_op){.kind = IO_OPEN,
        .fd = root,
        .path = file->path,
        .open_flags = IO_OPEN_READ | IO_OPEN_WRITE,
        .handle_life = LIFE_SEGMENT,
        .ret_handle = &file->handle,
        .owner = &file->files->owner,
        .wake = wake_open,
        .context = file};
}

static struct chunk_file *file_take(struct chunk_files *files, const struct chunk_key *key)
{
    struct chunk_file *file = find_place(files);
    if (!file)
        return NULL;
    file->key = *key;
    file->err = ERR_OK;
    file->pins = 0;
    file->have = 0;
    file->is_forgotten = false;
    file->state = CHUNK_FILE_OPENING;
    list_push_back(&files->used, &file->link);
    bool has_place = map_put_pointer(&files->by_key, map_key_of(key), file);
    CHECK(has_place);
    files->misses++;
    return file;
}

static void file_pin(struct chunk_files *files, struct chunk_file *file)
{
    file->pins++;
    if (files->used.prev != &file->link) {
        list_remove(&file->link);
        list_push_back(&files->used, &file->link);
    }
}

bool chunk_acquire_open(
    struct chunk_files *files, const struct chunk_key *key, struct chunk_ref *ref)
{
    struct chunk_file *file = find_file(files, key);
    if (!file || file->state != CHUNK_FILE_READY)
        return false;
    *ref = (struct chunk_ref){.key = *key, .file = file};
    files->hits++;
    file_pin(files, file);
    return true;
}

bool chunk_acquire(struct chunk_files *files, const struct chunk_key *key, struct chunk_ref *ref,
    struct machine *machine)
{
    if (chunk_acquire_open(files, key, ref))
        return true;
    *ref = (struct chunk_ref){.key = *key, .machine = machine};
    struct chunk_file *file = find_file(files, key);
    if (file && file->state == CHUNK_FILE_FAILED) {
        ref->err = file->err;
        return true;
    }
    if (!file) {
        const struct io_handle *root = files->root_of(files->context, key);
        if (!root) {
            ref->err = ERR(NOT_FOUND, 0);
            return true;
        }
        file = file_take(files, key);
        if (!file) {
            list_push_back(&files->hungry, &ref->link);
            return false;
        }
        file->op = file_open_op(file, root->fd);
        io_submit(files->io, &file->op);
    }
    file_pin(files, file);
    list_push_back(&file->waiters, &ref->link);
    return false;
}

err_t chunk_acquire_now(
    struct chunk_files *files, const struct chunk_key *key, struct chunk_ref *ref)
{
    *ref = (struct chunk_ref){.key = *key};
    struct chunk_file *file = find_file(files, key);
    if (!file) {
        const struct io_handle *root = files->root_of(files->context, key);
        if (!root)
            return ERR(NOT_FOUND, 0);
        file = file_take(files, key);
        if (!file)
            return ERR(BUSY, 0);
        struct io_op op = file_open_op(file, root->fd);
        int64_t result = io_call(files->io, &op);
        if (result >= 0) {
            do {
                op = file_read_op(file);
                result = io_call(files->io, &op);
            } while (file_take_bytes(file, result));
            file_settle(file, file_check_header(file, result));
        } else {
            file_settle(file, ERR_RESULT(result));
        }
    }
    if (file->state != CHUNK_FILE_READY)
        return file->err;
    file_pin(files, file);
    ref->file = file;
    return ERR_OK;
}

static void serve_hungry(struct chunk_files *files)
{
    struct list *node = list_pop_front(&files->hungry);
    if (!node)
        return;
    struct chunk_ref *ref = CONTAINER_OF(node, struct chunk_ref, link);
    struct machine *machine = ref->machine;
    struct chunk_key key = ref->key;
    if (chunk_acquire(files, &key, ref, machine))
        machine_arrive(machine);
}

void chunk_release(struct chunk_files *files, struct chunk_ref *ref)
{
    struct chunk_file *file = ref->file;
    if (!file)
        return;
    ref->file = NULL;
    CHECK(file->pins > 0);
    if (--file->pins > 0)
        return;
    if (file->state == CHUNK_FILE_FAILED)
        file_retire(file);
    serve_hungry(files);
}

void chunk_ref_copy(struct chunk_ref *to, const struct chunk_ref *from)
{
    CHECK(from->file != NULL);
    *to = (struct chunk_ref){.file = from->file, .key = from->key};
    from->file->pins++;
}

bool chunk_is_held(struct chunk_files *files, const struct chunk_key *key)
{
    const struct chunk_file *file = find_file(files, key);
    return file && file->pins > 0;
}

void chunk_forget(struct chunk_files *files, const struct chunk_key *key)
{
    struct chunk_file *file = find_file(files, key);
    if (file && file->state == CHUNK_FILE_OPENING)
        file->is_forgotten = true;
    if (!file || file->state != CHUNK_FILE_READY)
        return;
    if (file->pins == 0)
        file_retire(file);
    else
        file->state = CHUNK_FILE_FAILED; /* the last release retires it */
    file->err = ERR(NOT_FOUND, 0);
}
