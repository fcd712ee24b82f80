/* Uploads at the FastDFS door.
 *
 *   upload    place -> [content] -> upload -> answer
 *   slave     look at the master -> [content] -> upload, into the master's stream -> the master's
 *             attributes name it -> answer          the name is not to be had: the upload is deleted */
#include "storage/fdfs_op.h"
#include "storage/placement.h"
#include "wire/fdfs_answer.h"

static void write_answer(struct fdfs_op *op, struct span name)
{
    struct writer w = {op->answer, sizeof op->answer, 0, false};
    fdfs_write_file(&w, op->door.loop->store.config.group, name);
    CHECK(!w.failed);
    op->answer_size = w.size;
    op->door.loop->counters.uploads++;
}

static void start(struct fdfs_op *op, uint8_t mount, void (*done)(struct upload *upload))
{
    struct storage_loop *loop = op->door.loop;
    const struct fdfs_head *head = &op->request->head;
    struct stream *stream = op->file.upload.stream;
    bool is_appender = head->command == FDFS_UPLOAD_APPENDER;
    op->file.upload = (struct upload){.context = op, .done = done, .stream = stream};
    op->file.upload.on_result = fdfs_upload_known;
    op->file.upload.request = (struct upload_request){.mount = mount,
        .pool = span_of_text(loop->storage->config.pool),
        .suffix = head->suffix,
        .ack = ACK_LOCAL,
        .is_mutable = is_appender,
        .size_known = true,
        .size = head->size,
        .slack = is_appender ? loop->store.config.slack_default : 0};
    upload_start(&op->file.upload, &loop->store, &op->door.body);
}

void fdfs_upload_known(struct upload *upload)
{
    (void)upload; /* told when it is over: then it may be waited for mirrors */
}

/* An upload only writes: an error of input and output means that the disk cannot be written any
 * more, whichever file met it. */
static void note_error(const struct upload *upload)
{
    if (err_has(upload->machine.err, ERR_CODE_IO))
        store_fence(upload->store, upload->request.mount, upload->machine.err);
}

/* ---- plain and appender ---- */

static void upload_over(struct upload *upload)
{
    struct fdfs_op *op = upload->context;
    char id[FID_TEXT_MAX];
    note_error(upload);
    if (err_is(upload->machine.err)) {
        fdfs_op_fail(op, upload->machine.err);
        return;
    }
    size_t skip = strlen(upload->result.fid.group) + 1;
    size_t size = fid_format(&upload->result.fid, id);
    write_answer(op, span_of(id + skip, size - skip));
    fdfs_op_hold(op, upload->stream, &upload->append);
}

static void upload_begin(struct fdfs_op *op)
{
    op->file.upload.stream = NULL;
    start(op, op->mount, upload_over);
}

/* Streams are fixed at format, loops are not: a loop may own none of a mount point. */
static bool moves_to_stream(struct storage_loop *loop, struct fdfs_request *request, uint8_t mount)
{
    uint32_t streams = loop->store.mounts[mount].stream_count;
    if (loop->index < streams)
        return false;
    fdfs_request_move(request, &loop->storage->loops[loop->index % streams].fdfs.server);
    return true;
}

/* The client's index of a store path is advice for others: the storage balances by what it knows. */
static err_t choose(struct storage_loop *loop, uint64_t size, uint8_t *ret_mount)
{
    const struct storage_config *config = &loop->storage->config;
    bool is_packed = size <= config->single_min;
    return placement_pick(&loop->store, config, &loop->cursor, size, is_packed, ret_mount);
}

void fdfs_upload(struct storage_loop *loop, struct fdfs_request *request)
{
    const struct fdfs_head *head = &request->head;
    uint8_t mount, ack;
    err_t err = suffix_is_valid(head->suffix) ? ERR_OK : ERR(USAGE, 0);
    if (!err_is(err) && loop->state < STATE_RUNNING)
        err = ERR(UNAVAILABLE, 0);
    if (!err_is(err))
        err = fdfs_choose_ack(loop, &ack);
    if (!err_is(err))
        err = choose(loop, head->size, &mount);
    if (err_is(err)) {
        fdfs_refuse_request(loop, request, fdfs_status_of(err));
        return;
    }
    if (moves_to_stream(loop, request, mount))
        return;
    struct fdfs_op *op = fdfs_op_open(loop, request);
    if (!op)
        return;
    op->ack = ack;
    op->mount = mount;
    fdfs_body_begin(op, upload_begin);
}

/* ---- slaves ---- */

static void slave_withdrawn(struct remove_file *remove)
{
    struct fdfs_op *op = remove->context;
    fdfs_op_fail(op, op->err);
}

static err_t name_slave(struct modify *modify, struct span attributes, struct writer *w)
{
    struct fdfs_op *op = modify->context;
    struct fid there;
    const char *group = op->door.loop->store.config.group;
    struct span tail = span_of_text(op->tail);
    if (fdfs_slave_find(attributes, tail, group, &there)
        && !identity_equals(&there.identity, &op->replaced.identity))
        return ERR(EXISTS, 0);
    fdfs_slave_put(attributes, tail, &op->slave, w);
    return ERR_OK;
}

/* "M00/00/04/<27>[<16>]" of the master, and the tail. */
static struct span slave_name(const struct fdfs_op *op, uint8_t ret[FDFS_NAME_MAX])
{
    struct writer w = {ret, FDFS_NAME_MAX, 0, false};
    struct span master = op->request->head.name;
    write_bytes(&w, master.data, master.size - SUFFIX_FIELD);
    write_bytes(&w, op->tail, strlen(op->tail));
    CHECK(!w.failed);
    return span_of(ret, w.size);
}

static void slave_named(struct modify *modify)
{
    struct fdfs_op *op = modify->context;
    if (err_is(modify->machine.err)) {
        op->err = modify->machine.err;
        fdfs_remove(op, &op->slave, slave_withdrawn);
        return;
    }
    uint8_t name[FDFS_NAME_MAX];
    write_answer(op, slave_name(op, name));
    fdfs_op_hold(op, modify->stream, &modify->append);
}

static void slave_uploaded(struct upload *upload)
{
    struct fdfs_op *op = upload->context;
    note_error(upload);
    if (err_is(upload->machine.err)) {
        fdfs_op_fail(op, upload->machine.err);
        return;
    }
    op->slave = upload->result.fid;
    fdfs_edit(op, &op->fid, name_slave, slave_named);
}

static void slave_begin(struct fdfs_op *op)
{
    struct storage_loop *loop = op->door.loop;
    struct stream *stream;
    err_t err = store_stream_of(&loop->store, &op->fid, &stream);
    if (err_is(err)) {
        fdfs_op_fail(op, err);
        return;
    }
    op->file.upload.stream = stream;
    start(op, stream->options.mount, slave_uploaded);
}

/* The name is taken, unless what it names is gone: a delete ended between its two steps. */
static void old_slave_looked(struct stat_file *stat)
{
    struct fdfs_op *op = stat->context;
    err_t err = stat->machine.err;
    if (err_has(err, ERR_CODE_NOT_FOUND))
        fdfs_body_begin(op, slave_begin);
    else
        fdfs_op_fail(op, err_is(err) ? err : ERR(EXISTS, 0));
}

static void old_slave_known(struct stat_file *stat)
{
    (void)stat;
}

static void look_for_slave(struct fdfs_op *op)
{
    struct storage_loop *loop = op->door.loop;
    if (!fdfs_slave_find(
            op->attributes, span_of_text(op->tail), loop->store.config.group, &op->replaced)) {
        fdfs_body_begin(op, slave_begin);
        return;
    }
    op->file.stat = (struct stat_file){
        .fid = op->replaced, .on_result = old_slave_known, .done = old_slave_looked, .context = op};
    stat_start(&op->file.stat, &loop->store);
}

/* A slave that was imported has its name for ever. */
static void imported_looked_up(struct name_lookup *lookup)
{
    struct fdfs_op *op = lookup->context;
    bool is_imported = !err_is(lookup->err) && lookup->name.tail.size == 0;
    err_t err = is_imported ? ERR(EXISTS, 0) : lookup->err;
    if (err_is(err) && !err_has(err, ERR_CODE_NOT_FOUND))
        fdfs_op_fail(op, err);
    else
        look_for_slave(op);
}

static void master_looked(struct fdfs_op *op)
{
    const struct fdfs_head *head = &op->request->head;
    char suffix[SUFFIX_FIELD + 1];
    memcpy(suffix, head->name.data + head->name.size - SUFFIX_FIELD, SUFFIX_FIELD);
    suffix[SUFFIX_FIELD] = '\0';
    (void)fdfs_tail_make(suffix, head->prefix, head->suffix, op->tail);
    struct name_lookup *lookup = &op->file.lookup;
    lookup->context = op;
    lookup->done = imported_looked_up; /* the answer is empty still: room for the name */
    if (op->is_old && name_lookup_begin(lookup, op->door.loop, slave_name(op, op->answer)))
        name_lookup_start(lookup);
    else
        look_for_slave(op);
}

void fdfs_upload_slave(struct fdfs_op *op)
{
    if (suffix_is_valid(op->request->head.suffix))
        fdfs_look(op, &op->fid, master_looked);
    else
        fdfs_op_fail(op, ERR(USAGE, 0));
}
