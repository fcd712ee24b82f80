/* Reads at the FastDFS door: on any loop. What only the owner of a file can judge is asked there: the
 * connection moves. */
#include <stdio.h>

#include "base/units.h"
#include "storage/fdfs_op.h"
#include "wire/fdfs_answer.h"

/* The end of a read that failed. */
static void read_failed(struct fdfs_op *op, const struct fid *fid, err_t err)
{
    bool may_move =
        err_has(err, ERR_CODE_UNAVAILABLE) && !op->is_told && !fdfs_is_owner(op->door.loop, fid);
    if (may_move)
        fdfs_op_move(op, fid);
    else
        fdfs_op_fail(op, err);
}

/* ---- look ---- */

static void looked(struct stat_file *stat)
{
    struct fdfs_op *op = stat->context;
    const struct object *object = &stat->object;
    op->header = object->header;
    if (object->attributes.size > 0)
        memcpy(op->attributes_bytes, object->attributes.data, object->attributes.size);
    op->attributes = span_of(op->attributes_bytes, object->attributes.size);
}

static void look_over(struct stat_file *stat)
{
    struct fdfs_op *op = stat->context;
    if (err_is(stat->machine.err))
        read_failed(op, &stat->fid, stat->machine.err);
    else
        op->next(op);
}

void fdfs_look(struct fdfs_op *op, const struct fid *fid, void (*next)(struct fdfs_op *op))
{
    op->next = next;
    op->file.stat =
        (struct stat_file){.fid = *fid, .on_result = looked, .done = look_over, .context = op};
    stat_start(&op->file.stat, &op->door.loop->store);
}

/* ---- names ---- */

static void master_looked(struct fdfs_op *op)
{
    const char *group = op->door.loop->store.config.group;
    if (!fdfs_slave_find(op->attributes, op->name.tail, group, &op->fid))
        fdfs_op_fail(op, ERR(NOT_FOUND, 0));
    else
        op->begin(op);
}

void fdfs_resolve(struct fdfs_op *op, void (*next)(struct fdfs_op *op))
{
    op->fid = op->name.fid;
    op->begin = next;
    if (op->name.tail.size > 0)
        fdfs_look(op, &op->name.fid, master_looked);
    else
        next(op);
}

/* ---- download ---- */

static void put(struct outlet *outlet, struct span data, bool is_last, struct machine *machine)
{
    struct fdfs_op *op = CONTAINER_OF(outlet, struct fdfs_op, door.outlet);
    const struct find *find = &op->file.find;
    (void)is_last; /* the header tells how much there will be */
    op->door.outlet_machine = machine;
    op->door.loop->counters.bytes_out += data.size;
    if (op->is_told) {
        fdfs_reply_data(op->request, data, door_piece_sent);
        return;
    }
    if (find->offset == find->end && find->offset > 0) {
        outlet->err = ERR(RANGE, 0); /* at the end: FastDFS calls this outside */
        machine_arrive(machine);
        return;
    }
    op->is_told = true;
    op->door.loop->counters.finds++;
    fdfs_reply_begin(op->request, find->end - find->offset, data, door_piece_sent);
}

static void find_known(struct find *find)
{
    (void)find; /* told together with the first piece */
}

static void find_over(struct find *find)
{
    struct fdfs_op *op = find->context;
    if (err_is(find->machine.err))
        read_failed(op, &find->fid, find->machine.err);
    else
        fdfs_op_end(op);
}

void fdfs_download(struct fdfs_op *op)
{
    const struct fdfs_head *head = &op->request->head;
    op->door.outlet = (struct outlet){.put = put};
    op->file.find = (struct find){.fid = op->fid,
        .offset = head->offset,
        .size = head->size,
        .on_result = find_known,
        .done = find_over,
        .context = op};
    find_start(&op->file.find, &op->door.loop->store, &op->door.outlet);
}

/* ---- what is known of a file ---- */

/* "10.0.0.7" of "10.0.0.7:7710", "::1" of "[::1]:7710" */
static void host_of(const char *address, char ret[IO_ADDRESS_TEXT_MAX])
{
    const char *begin = address[0] == '[' ? address + 1 : address;
    const char *end = address[0] == '[' ? strchr(begin, ']') : strrchr(begin, ':');
    size_t size = end ? (size_t)(end - begin) : strlen(begin);
    memcpy(ret, begin, size);
    ret[size] = '\0';
}

/* Of the storage that made the file, if it is known; else our own. */
static void source_address(
    const struct storage_loop *loop, uint32_t origin, char ret[IO_ADDRESS_TEXT_MAX])
{
    char text[IO_ADDRESS_TEXT_MAX];
    const struct member *member = members_find(&loop->members, origin);
    bool is_other = origin != loop->store.config.machine && member && member->address.family != 0;
    host_of(is_other ? io_address_format(&member->address, text) : loop->storage->address, ret);
}

/* An imported file's name goes on telling when and where it was stored. */
static void tell_as_named(const struct fdfs_id *old, uint64_t *time_s, char *address)
{
    if (old->is_slave || old->is_appender)
        return;
    *time_s = old->time_s;
    if (old->source[3] != 0)
        (void)snprintf(address, IO_ADDRESS_TEXT_MAX, "%u.%u.%u.%u", old->source[0], old->source[1],
            old->source[2], old->source[3]);
}

static void query_looked(struct fdfs_op *op)
{
    char address[IO_ADDRESS_TEXT_MAX];
    struct writer w = {op->answer, sizeof op->answer, 0, false};
    const struct slot_header *header = &op->header;
    uint64_t time_ns = header->flags & SLOT_MUTABLE ? header->modify_ns : header->create_ns;
    uint64_t time_s = time_ns / NS_PER_S;
    bool needs_no_crc = op->request->head.flags & FDFS_FLAG_NO_CRC;
    source_address(op->door.loop, header->identity.origin, address);
    if (op->is_old)
        tell_as_named(&op->old, &time_s, address);
    fdfs_write_file_info(&w,
        &(struct fdfs_file_info){.size = header->size,
            .time_s = time_s,
            .crc = needs_no_crc && (header->flags & SLOT_MUTABLE) ? 0 : header->content_crc,
            .address = address},
        op->door.loop->storage->config.fastdfs_wide);
    CHECK(!w.failed);
    op->answer_size = w.size;
    op->door.loop->counters.stats++;
    fdfs_op_reply(op);
}

void fdfs_query(struct fdfs_op *op)
{
    fdfs_look(op, &op->fid, query_looked);
}

static void metadata_looked(struct fdfs_op *op)
{
    struct span metadata = attribute_find(op->attributes, ATTRIBUTE_METADATA);
    if (metadata.size == 0) {
        fdfs_op_fail(op, ERR(NOT_FOUND, 0));
        return;
    }
    memcpy(op->answer, metadata.data, metadata.size);
    op->answer_size = metadata.size;
    op->door.loop->counters.stats++;
    fdfs_op_reply(op);
}

void fdfs_get_metadata(struct fdfs_op *op)
{
    fdfs_look(op, &op->fid, metadata_looked);
}
