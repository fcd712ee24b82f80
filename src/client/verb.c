#include "client/verb.h"

#include "wire/fdfs_id.h"

/* Room for the fixed fields beside the texts in a frame's fields. */
enum { TEXTS_MAX = NET_META_MAX - 256 };

static const struct client_verb verbs[] = {
    {MSG_UPLOAD, MSG_UPLOADED, QUERY_UPLOAD, .is_change = true, .has_content = true},
    {MSG_FIND, MSG_FOUND, QUERY_FIND, .has_sink = true},
    {MSG_MODIFY, MSG_MODIFIED, QUERY_MODIFY, .is_change = true, .has_content = true},
    {MSG_DELETE, MSG_DELETED, QUERY_DELETE, .is_change = true},
    {MSG_STAT, MSG_STATED, QUERY_FIND, .has_sink = false},
    {MSG_LIST, MSG_LISTED, 0, .has_sink = true},
    {MSG_STATUS, MSG_STATUS_REPLY, 0, .has_sink = true},
    {MSG_MEMBER, MSG_MEMBER_REPLY, 0, .has_sink = true},
    {MSG_VERIFY, MSG_VERIFIED, 0, .has_sink = true}, {MSG_NAMES, MSG_NAMED, 0, .has_sink = false},
    {MSG_TRANSLATE, MSG_TRANSLATED, QUERY_FIND, .has_sink = false},
    {MSG_QUERY, MSG_ANSWER, 0, .has_sink = false}, /* its end is op->route */
};

const struct client_verb *verb_of(uint8_t type)
{
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (verbs[i].type == type)
            return &verbs[i];
    UNREACHABLE("not an operation of clients");
}

const struct nonce *verb_nonce(const struct client_op *op)
{
    switch (op->type) {
    case MSG_UPLOAD:
        return &op->request.upload.nonce;
    case MSG_MODIFY:
        return &op->request.modify.nonce;
    case MSG_DELETE:
        return &op->request.delete.nonce;
    default:
        return NULL;
    }
}

static struct span *id_of(struct client_op *op)
{
    switch (op->type) {
    case MSG_FIND:
        return &op->request.find.id;
    case MSG_MODIFY:
        return &op->request.modify.id;
    case MSG_DELETE:
        return &op->request.delete.id;
    case MSG_TRANSLATE:
        return &op->request.translate.id;
    default:
        return &op->request.stat.id;
    }
}

static err_t prepare_upload(struct client_op *op)
{
    struct msg_upload *upload = &op->request.upload;
    size_t texts =
        upload->pool.size + upload->suffix.size + upload->content_type.size + upload->metadata.size;
    if (!suffix_is_valid(upload->suffix)
        || !span_to_text(op->group ? span_of_text(op->group) : upload->pool, op->route.name,
            sizeof op->route.name))
        return ERR(USAGE, 0);
    op->route.is_group = op->group != NULL;
    upload->is_retry = !nonce_is_none(&upload->nonce); /* given by the caller: a repetition */
    upload->nonce = op->nonce;
    return texts > TEXTS_MAX ? ERR(TOO_LARGE, 0) : ERR_OK;
}

/* "group1/M00/...": an old name tells its group and nothing else that helps. */
static err_t prepare_by_name(struct client_op *op)
{
    struct span id = *id_of(op);
    struct fdfs_id old;
    const uint8_t *slash = id.size > 0 ? memchr(id.data, '/', id.size) : NULL;
    size_t size = slash ? (size_t)(slash - id.data) : 0;
    if (!slash || !group_name_is_valid(span_of(id.data, size))
        || !span_to_text(span_of(id.data, size), op->route.name, sizeof op->route.name))
        return ERR(USAGE, 0);
    return fdfs_id_parse(span_of(slash + 1, id.size - size - 1), &old);
}

/* Ask for the id first: what was wanted is set aside. */
static err_t begin_translation(struct client_op *op)
{
    struct span id = *id_of(op);
    TRY(prepare_by_name(op));
    op->wanted = (struct client_wanted){
        .type = op->type, .request = op->request, .source = op->source, .sink = op->sink};
    op->type = MSG_TRANSLATE;
    op->source = NULL;
    op->sink = NULL;
    op->route.purpose = QUERY_FIND;
    op->request.translate = (struct msg_translate){.id = id};
    return ERR_OK;
}

bool verb_end_translation(struct client_op *op)
{
    bool is_done = !err_is(op->machine.err);
    struct client_wanted wanted = op->wanted;
    is_done = is_done && span_to_text(op->reply.translated.id, op->id, sizeof op->id);
    op->type = wanted.type;
    op->request = wanted.request;
    op->source = wanted.source;
    op->sink = wanted.sink;
    op->wanted = (struct client_wanted){.type = 0};
    if (is_done)
        *id_of(op) = span_of_text(op->id);
    return is_done;
}

static err_t prepare_by_id(struct client_op *op)
{
    struct fid fid;
    err_t err = fid_parse(*id_of(op), &fid);
    if (err_has(err, ERR_CODE_UNSUPPORTED) && op->id[0] == '\0')
        return begin_translation(op);
    TRY(err);
    memcpy(op->route.name, fid.group, sizeof fid.group);
    op->route.origin = fid.identity.origin;
    if (op->type == MSG_MODIFY)
        op->request.modify.nonce = op->nonce;
    else if (op->type == MSG_DELETE)
        op->request.delete.nonce = op->nonce;
    return ERR_OK;
}

static err_t prepare_query(struct client_op *op)
{
    const struct msg_query *query = &op->request.query;
    struct span name = query->purpose == QUERY_UPLOAD ? query->pool : query->group;
    op->route.purpose = query->purpose;
    op->route.origin = query->origin;
    return span_to_text(name, op->route.name, sizeof op->route.name) ? ERR_OK : ERR(USAGE, 0);
}

err_t verb_prepare(struct client_op *op)
{
    const struct client_verb *verb = verb_of(op->type);
    op->route = (struct route){.purpose = verb->purpose};
    if (op->type == MSG_QUERY)
        return prepare_query(op);
    if (op->type == MSG_UPLOAD)
        return prepare_upload(op);
    if (verb->purpose != 0)
        return prepare_by_id(op);
    return op->type == MSG_LIST && op->request.list.cursor.size > TEXTS_MAX ? ERR(TOO_LARGE, 0)
                                                                            : ERR_OK;
}

static void encode_find(const struct client_op *op, struct writer *fields)
{
    struct msg_find find = op->request.find;
    find.offset += op->content_size;
    if (op->has_begun) { /* the rest of the same version; its end is known */
        find.size = op->reply.found.size - op->content_size;
        find.if_version = op->found_version;
    }
    msg_find_encode(&find, fields);
}

void verb_encode(const struct client_op *op, struct writer *fields)
{
    switch (op->type) {
    case MSG_UPLOAD:
        msg_upload_encode(&op->request.upload, fields);
        return;
    case MSG_FIND:
        encode_find(op, fields);
        return;
    case MSG_MODIFY:
        msg_modify_encode(&op->request.modify, fields);
        return;
    case MSG_DELETE:
        msg_delete_encode(&op->request.delete, fields);
        return;
    case MSG_STAT:
        msg_stat_encode(&op->request.stat, fields);
        return;
    case MSG_LIST:
        msg_list_encode(&op->request.list, fields);
        return;
    case MSG_MEMBER:
        msg_member_encode(&op->request.member, fields);
        return;
    case MSG_VERIFY:
        msg_verify_encode(&op->request.verify, fields);
        return;
    case MSG_NAMES:
        msg_names_encode(&op->request.names, fields);
        return;
    case MSG_TRANSLATE:
        msg_translate_encode(&op->request.translate, fields);
        return;
    default:
        msg_status_encode(&op->request.status, fields);
        return;
    }
}

/* The first head tells version and size; the heads of later attempts must agree. */
static err_t decode_find(struct client_op *op, struct span meta)
{
    struct msg_found found;
    TRY(msg_found_decode(meta, &found));
    if (op->has_begun) {
        bool is_same = version_equals(found.version, op->found_version)
                       && found.total == op->reply.found.total;
        return is_same ? ERR_OK : ERR(CONFLICT, 0);
    }
    if (found.offset != op->request.find.offset || found.size > found.total
        || found.offset > found.total - found.size)
        return ERR(PROTOCOL, 0);
    op->reply.found = found;
    op->found_version = found.version;
    return ERR_OK;
}

err_t verb_decode(struct client_op *op, struct span meta)
{
    if (meta.size > sizeof op->meta)
        return ERR(PROTOCOL, 0);
    if (op->type != MSG_FIND || !op->has_begun) { /* later finds only confirm the first */
        memcpy(op->meta, meta.data, meta.size);
        meta = span_of(op->meta, meta.size);
    }
    switch (op->type) {
    case MSG_UPLOAD:
        return msg_uploaded_decode(meta, &op->reply.uploaded);
    case MSG_FIND:
        return decode_find(op, meta);
    case MSG_MODIFY:
        return msg_modified_decode(meta, &op->reply.modified);
    case MSG_DELETE:
        return msg_deleted_decode(meta, &op->reply.deleted);
    case MSG_STAT:
        return msg_stated_decode(meta, &op->reply.stated);
    case MSG_LIST:
        return msg_listed_decode(meta, &op->reply.listed);
    case MSG_MEMBER:
        return msg_member_reply_decode(meta, &op->reply.member);
    case MSG_VERIFY:
        return msg_verified_decode(meta, &op->reply.verified);
    case MSG_NAMES:
        return msg_named_decode(meta, &op->reply.named);
    case MSG_TRANSLATE:
        return msg_translated_decode(meta, &op->reply.translated);
    default:
        return msg_status_reply_decode(meta, &op->reply.status);
    }
}

static err_t verify_find(const struct client_op *op)
{
    const struct msg_found *found = &op->reply.found;
    if (op->content_size != found->size)
        return ERR(PROTOCOL, 0);
    bool is_whole = found->offset == 0 && found->size == found->total;
    return is_whole && op->content_crc != found->crc ? ERR(CORRUPT, 0) : ERR_OK;
}

void verb_note_content(struct client_op *op)
{
    bool is_upload = op->type == MSG_UPLOAD;
    bool is_whole = is_upload || op->request.modify.mode == MODIFY_REPLACE;
    op->content_size = op->sent_size;
    op->content_crc = op->sent_crc;
    if (op->is_body_sent || !is_whole)
        return;
    op->content_size = is_upload ? op->reply.uploaded.size : op->reply.modified.size;
    op->content_crc = is_upload ? op->reply.uploaded.crc : op->reply.modified.crc;
}

err_t verb_verify(const struct client_op *op)
{
    if (op->type == MSG_FIND)
        return verify_find(op);
    if (op->type == MSG_UPLOAD) {
        const struct msg_uploaded *uploaded = &op->reply.uploaded;
        struct fid fid;
        if (err_is(fid_parse(uploaded->id, &fid)))
            return ERR(PROTOCOL, 0);
        return uploaded->size != op->content_size || uploaded->crc != op->content_crc
                   ? ERR(CORRUPT, 0)
                   : ERR_OK;
    }
    if (op->type == MSG_MODIFY && op->request.modify.mode == MODIFY_REPLACE) {
        const struct msg_modified *modified = &op->reply.modified;
        return modified->size != op->content_size || modified->crc != op->content_crc
                   ? ERR(CORRUPT, 0)
                   : ERR_OK;
    }
    return ERR_OK;
}
