/* Changes at the FastDFS door, on the loop that owns the file.
 *
 *   delete a slave    the file goes first, then its name: what is cut between the two leaves a name of
 *                     nothing, which the next delete or upload takes away
 *   delete a master   its slaves go first: without it nobody could name them */
#include "storage/fdfs_op.h"
#include "wire/fdfs_answer.h"
#include "wire/fdfs_meta.h"

/* ---- append, modify, truncate ---- */

static void nothing_to_tell(struct modify *modify)
{
    (void)modify; /* told when it is over: then it may be waited for mirrors */
}

static void change_over(struct modify *modify)
{
    struct fdfs_op *op = modify->context;
    if (err_is(modify->machine.err)) {
        fdfs_op_fail(op, modify->machine.err);
        return;
    }
    op->door.loop->counters.modifies++;
    fdfs_op_hold(op, modify->stream, &modify->append);
}

static void change_begin(struct fdfs_op *op)
{
    const struct fdfs_head *head = &op->request->head;
    bool is_truncate = head->command == FDFS_TRUNCATE;
    op->file.modify =
        (struct modify){.context = op, .on_result = nothing_to_tell, .done = change_over};
    op->file.modify.request = (struct modify_request){.fid = op->fid,
        .mode = is_truncate                    ? MODIFY_TRUNCATE
                : head->command == FDFS_APPEND ? MODIFY_APPEND
                                               : MODIFY_WRITE,
        .offset = head->offset,
        .ack = ACK_LOCAL,
        .size_known = true,
        .size = head->size};
    modify_start(&op->file.modify, &op->door.loop->store, is_truncate ? NULL : &op->door.body);
}

void fdfs_change(struct fdfs_op *op)
{
    fdfs_body_begin(op, change_begin);
}

/* ---- attributes ---- */

void fdfs_edit(struct fdfs_op *op, const struct fid *fid,
    err_t (*edit)(struct modify *modify, struct span attributes, struct writer *w),
    void (*done)(struct modify *modify))
{
    op->file.modify = (struct modify){.context = op, .on_result = nothing_to_tell, .done = done};
    op->file.modify.request = (struct modify_request){
        .fid = *fid, .mode = MODIFY_ATTRIBUTES, .ack = ACK_LOCAL, .edit = edit};
    modify_start(&op->file.modify, &op->door.loop->store, NULL);
}

static err_t edit_metadata(struct modify *modify, struct span attributes, struct writer *w)
{
    const struct fdfs_op *op = modify->context;
    const struct fdfs_head *head = &op->request->head;
    uint8_t bytes[SLOT_ATTRIBUTES_MAX];
    struct writer list = {bytes, sizeof bytes, 0, false};
    struct span old =
        head->is_merge ? attribute_find(attributes, ATTRIBUTE_METADATA) : span_of(NULL, 0);
    TRY(fdfs_meta_merge(old, head->metadata, &list));
    attributes_write_but(w, attributes, ATTRIBUTE_METADATA);
    attribute_write(w, ATTRIBUTE_METADATA, span_of(bytes, list.size));
    return ERR_OK;
}

void fdfs_set_metadata(struct fdfs_op *op)
{
    fdfs_edit(op, &op->fid, edit_metadata, change_over);
}

/* ---- regenerate: an appender becomes a file that tells size and CRC ---- */

static err_t keep_attributes(struct modify *modify, struct span attributes, struct writer *w)
{
    const struct slot_header *header = &modify->object.header;
    if (!(header->flags & SLOT_MUTABLE)) /* of 4 GiB and more: its id stayed what it was */
        return ERR(IMMUTABLE, 0);
    write_bytes(w, attributes.data, attributes.size);
    return ERR_OK;
}

static void regenerated(struct modify *modify)
{
    struct fdfs_op *op = modify->context;
    struct fid fid = op->fid;
    char id[FID_TEXT_MAX];
    if (err_is(modify->machine.err)) {
        fdfs_op_fail(op, modify->machine.err);
        return;
    }
    fid.is_mutable = modify->result.size > FID_SIZE_MAX;
    fid.size = fid.is_mutable ? 0 : modify->result.size;
    fid.crc = fid.is_mutable ? 0 : modify->result.crc;
    size_t skip = strlen(fid.group) + 1, size = fid_format(&fid, id);
    struct writer w = {op->answer, sizeof op->answer, 0, false};
    fdfs_write_file(&w, fid.group, span_of(id + skip, size - skip));
    CHECK(!w.failed);
    op->answer_size = w.size;
    op->door.loop->counters.modifies++;
    fdfs_op_hold(op, modify->stream, &modify->append);
}

void fdfs_regenerate(struct fdfs_op *op)
{
    op->file.modify =
        (struct modify){.context = op, .on_result = nothing_to_tell, .done = regenerated};
    op->file.modify.request = (struct modify_request){.fid = op->fid,
        .mode = MODIFY_ATTRIBUTES,
        .ack = ACK_LOCAL,
        .edit = keep_attributes,
        .is_final = true};
    modify_start(&op->file.modify, &op->door.loop->store, NULL);
}

/* ---- delete ---- */

static void nothing_told(struct remove_file *remove)
{
    (void)remove;
}

void fdfs_remove(
    struct fdfs_op *op, const struct fid *fid, void (*done)(struct remove_file *remove))
{
    op->file.remove = (struct remove_file){
        .fid = *fid, .ack = ACK_LOCAL, .on_result = nothing_told, .done = done, .context = op};
    remove_start(&op->file.remove, &op->door.loop->store);
}

/* FastDFS calls deleting what is not there an error. */
static void file_removed(struct remove_file *remove)
{
    struct fdfs_op *op = remove->context;
    err_t err = remove->machine.err;
    if (!err_is(err) && !remove->result.existed)
        err = ERR(NOT_FOUND, 0);
    if (err_is(err)) {
        fdfs_op_fail(op, err);
        return;
    }
    op->door.loop->counters.deletes++;
    fdfs_op_hold(op, remove->stream, &remove->append);
}

/* The next slave, then the file itself. */
static void remove_next(struct fdfs_op *op);

static void slave_gone(struct remove_file *remove)
{
    struct fdfs_op *op = remove->context;
    if (err_is(remove->machine.err)) {
        fdfs_op_fail(op, remove->machine.err);
        return;
    }
    op->slave_index++;
    remove_next(op);
}

static void remove_next(struct fdfs_op *op)
{
    struct storage_loop *loop = op->door.loop;
    struct fid slave;
    if (!fdfs_slave_at(op->attributes, op->slave_index, loop->store.config.group, &slave))
        fdfs_remove(op, &op->fid, file_removed);
    else if (fdfs_is_owner(loop, &slave))
        fdfs_remove(op, &slave, slave_gone);
    else
        fdfs_op_fail(op, ERR(UNAVAILABLE, 0));
}

/* ---- delete a slave ---- */

static err_t edit_name_away(struct modify *modify, struct span attributes, struct writer *w)
{
    const struct fdfs_op *op = modify->context;
    struct fid there;
    bool is_there = fdfs_slave_find(attributes, op->name.tail, op->fid.group, &there);
    if (is_there && identity_equals(&there.identity, &op->fid.identity))
        fdfs_slave_remove(attributes, op->name.tail, w);
    else
        write_bytes(w, attributes.data, attributes.size); /* somebody else has the name by now */
    return ERR_OK;
}

static void name_gone(struct modify *modify)
{
    struct fdfs_op *op = modify->context;
    err_t err = modify->machine.err;
    if (err_is(err) || !op->is_done) {
        fdfs_op_fail(op, err_is(err) ? err : ERR(NOT_FOUND, 0));
        return;
    }
    op->door.loop->counters.deletes++;
    fdfs_op_hold(op, modify->stream, &modify->append);
}

static void slave_removed(struct remove_file *remove)
{
    struct fdfs_op *op = remove->context;
    op->is_done = remove->result.existed;
    if (err_is(remove->machine.err))
        fdfs_op_fail(op, remove->machine.err);
    else
        fdfs_edit(op, &op->name.fid, edit_name_away, name_gone);
}

static void slave_resolved(struct fdfs_op *op)
{
    struct storage_loop *loop = op->door.loop;
    memcpy(op->name.fid.identity.suffix, op->header.identity.suffix, SUFFIX_FIELD);
    if (!fdfs_is_owner(loop, &op->name.fid))
        fdfs_op_move(op, &op->name.fid);
    else if (!fdfs_is_owner(loop, &op->fid))
        fdfs_op_fail(op, ERR(UNAVAILABLE, 0));
    else
        fdfs_remove(op, &op->fid, slave_removed);
}

void fdfs_delete(struct fdfs_op *op)
{
    if (op->name.tail.size > 0) {
        fdfs_resolve(op, slave_resolved);
        return;
    }
    op->fid = op->name.fid;
    if (fdfs_is_owner(op->door.loop, &op->fid))
        fdfs_look(op, &op->fid, remove_next);
    else
        fdfs_op_move(op, &op->fid);
}
