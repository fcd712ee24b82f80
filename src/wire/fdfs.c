#include "wire/fdfs.h"

#include "wire/base64url.h"

enum { PATH_SIZE = 1, NUMBER = 8 };
enum { PATH_LENGTH = 10, CORE_LENGTH = 27, CORE_SIZE = 20 }; /* of a name: "M00/00/00/", base64 */

const char *fdfs_command_name(uint8_t command)
{
    switch (command) {
#define X(name, number, text) \
    case number:              \
        return text;
        FDFS_COMMANDS(X)
#undef X
    default:
        return NULL;
    }
}

uint8_t fdfs_status_of(err_t err)
{
    switch (err.code) {
    case ERR_CODE_OK:
        return FDFS_OK;
    case ERR_CODE_NOT_FOUND:
    case ERR_CODE_WRONG_NODE:
        return FDFS_ENOENT;
    case ERR_CODE_USAGE:
    case ERR_CODE_RANGE:
    case ERR_CODE_IMMUTABLE:
    case ERR_CODE_PROTOCOL:
    case ERR_CODE_UNSUPPORTED:
        return FDFS_EINVAL;
    case ERR_CODE_DENIED:
        return FDFS_EACCES;
    case ERR_CODE_EXISTS:
        return FDFS_EEXIST;
    case ERR_CODE_NO_SPACE:
        return FDFS_ENOSPC;
    case ERR_CODE_TOO_LARGE:
        return FDFS_EFBIG;
    case ERR_CODE_BUSY:
    case ERR_CODE_CONFLICT:
    case ERR_CODE_NO_RESOURCE:
        return FDFS_EBUSY;
    case ERR_CODE_UNAVAILABLE:
    case ERR_CODE_OFFLINE:
    case ERR_CODE_TIMEOUT:
        return FDFS_EAGAIN;
    default:
        return FDFS_EIO;
    }
}

bool fdfs_has_content(uint8_t command)
{
    return command == FDFS_UPLOAD || command == FDFS_UPLOAD_APPENDER || command == FDFS_UPLOAD_SLAVE
           || command == FDFS_APPEND || command == FDFS_MODIFY;
}

bool fdfs_word_is_valid(struct span word)
{
    for (size_t i = 0; i < word.size; i++) {
        uint8_t c = word.data[i];
        bool is_word = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')
                       || c == '.' || c == '_' || c == '-';
        if (!is_word)
            return false;
    }
    return true;
}

bool fdfs_name_source(struct span name, uint32_t *ret)
{
    uint8_t core[CORE_SIZE];
    if (name.size < PATH_LENGTH + CORE_LENGTH
        || !base64url_decode(span_of(name.data + PATH_LENGTH, CORE_LENGTH), core, sizeof core))
        return false;
    *ret = get_u32(core);
    return true;
}

/* A cursor over the parameters. What is not there yet is `lacking`; what can't be is `status`. */
struct cursor {
    struct span bytes;  /* that have come, behind the header */
    uint64_t body_size; /* that are announced */
    size_t at;
    int status;
};

static const uint8_t *take(struct cursor *cursor, uint64_t size)
{
    if (cursor->status != FDFS_OK)
        return NULL;
    if (size > cursor->body_size - cursor->at)
        cursor->status = FDFS_EINVAL;
    else if (size > FDFS_PARAMETERS_MAX - cursor->at)
        cursor->status = FDFS_EFBIG;
    else if (size > cursor->bytes.size - cursor->at)
        cursor->status = FDFS_NEED_MORE;
    if (cursor->status != FDFS_OK)
        return NULL;
    cursor->at += (size_t)size;
    return cursor->bytes.data + cursor->at - size;
}

static struct span take_span(struct cursor *cursor, uint64_t size)
{
    const uint8_t *at = take(cursor, size);
    return at ? span_of(at, (size_t)size) : span_of(NULL, 0);
}

/* A number that must not be negative. */
static uint64_t take_number(struct cursor *cursor)
{
    const uint8_t *at = take(cursor, NUMBER);
    uint64_t value = at ? get_u64_be(at) : 0;
    if (value > INT64_MAX)
        cursor->status = FDFS_EINVAL;
    return value;
}

/* NUL padded, not necessarily NUL terminated. */
static struct span take_padded(struct cursor *cursor, size_t size)
{
    const uint8_t *at = take(cursor, size);
    const uint8_t *end = at ? memchr(at, 0, size) : NULL;
    return at ? span_of(at, end ? (size_t)(end - at) : size) : span_of(NULL, 0);
}

static uint64_t rest_of(const struct cursor *cursor)
{
    return cursor->body_size - cursor->at;
}

static struct span take_name(struct cursor *cursor, uint64_t size, uint64_t least)
{
    if (cursor->status == FDFS_OK && (size < least || size > FDFS_NAME_MAX))
        cursor->status = FDFS_EINVAL;
    return take_span(cursor, size);
}

static void require(struct cursor *cursor, bool is_right)
{
    if (cursor->status == FDFS_OK && !is_right)
        cursor->status = FDFS_EINVAL;
}

/* The content fills the rest of the body. */
static void take_content(struct cursor *cursor, const struct fdfs_head *head)
{
    require(cursor, rest_of(cursor) == head->size);
}

static void decode_upload(struct cursor *cursor, struct fdfs_head *head)
{
    const uint8_t *path = take(cursor, PATH_SIZE);
    head->path = path ? *path : 0;
    head->size = take_number(cursor);
    head->suffix = take_padded(cursor, FDFS_SUFFIX_SIZE);
    require(cursor, fdfs_word_is_valid(head->suffix));
    take_content(cursor, head);
}

static void decode_slave(struct cursor *cursor, struct fdfs_head *head)
{
    uint64_t name_size = take_number(cursor);
    head->size = take_number(cursor);
    head->prefix = take_padded(cursor, FDFS_PREFIX_SIZE);
    head->suffix = take_padded(cursor, FDFS_SUFFIX_SIZE);
    head->name = take_name(cursor, name_size, 1);
    require(cursor, head->prefix.size > 0 && fdfs_word_is_valid(head->prefix));
    require(cursor, fdfs_word_is_valid(head->suffix));
    take_content(cursor, head);
}

static void decode_change(struct cursor *cursor, struct fdfs_head *head)
{
    uint64_t name_size = take_number(cursor);
    if (head->command != FDFS_APPEND)
        head->offset = take_number(cursor);
    if (head->command != FDFS_TRUNCATE)
        head->size = take_number(cursor);
    head->name = take_name(cursor, name_size, FDFS_CHANGED_NAME_MIN);
    take_content(cursor, head);
}

static void decode_set_metadata(struct cursor *cursor, struct fdfs_head *head)
{
    uint64_t name_size = take_number(cursor), metadata_size = take_number(cursor);
    const uint8_t *flag = take(cursor, 1);
    require(cursor, flag && (*flag == 'O' || *flag == 'M'));
    head->is_merge = flag && *flag == 'M';
    head->group = take_padded(cursor, FDFS_GROUP_SIZE);
    head->name = take_name(cursor, name_size, 1);
    head->metadata = take_span(cursor, metadata_size);
    require(cursor, rest_of(cursor) == 0);
}

static void decode_download(struct cursor *cursor, struct fdfs_head *head)
{
    head->offset = take_number(cursor);
    head->size = take_number(cursor);
    head->group = take_padded(cursor, FDFS_GROUP_SIZE);
    head->name = take_name(cursor, rest_of(cursor), 1);
}

static void decode_file(struct cursor *cursor, struct fdfs_head *head)
{
    head->group = take_padded(cursor, FDFS_GROUP_SIZE);
    head->name = take_name(cursor, rest_of(cursor), 1);
}

static void decode_group(struct cursor *cursor, struct fdfs_head *head)
{
    head->group = take_padded(cursor, FDFS_GROUP_SIZE);
    require(cursor, rest_of(cursor) == 0);
}

static void decode_group_text(struct cursor *cursor, struct fdfs_head *head)
{
    head->group = take_padded(cursor, FDFS_GROUP_SIZE);
    head->text = take_padded(cursor, (size_t)rest_of(cursor));
}

static void decode_text(struct cursor *cursor, struct fdfs_head *head)
{
    head->text = take_span(cursor, rest_of(cursor));
}

static void decode_parameters(struct cursor *cursor, struct fdfs_head *head)
{
    switch (head->command) {
    case FDFS_UPLOAD:
    case FDFS_UPLOAD_APPENDER:
        decode_upload(cursor, head);
        break;
    case FDFS_UPLOAD_SLAVE:
        decode_slave(cursor, head);
        break;
    case FDFS_APPEND:
    case FDFS_MODIFY:
    case FDFS_TRUNCATE:
        decode_change(cursor, head);
        break;
    case FDFS_REGENERATE:
        head->name = take_name(cursor, rest_of(cursor), FDFS_CHANGED_NAME_MIN);
        break;
    case FDFS_SET_METADATA:
        decode_set_metadata(cursor, head);
        break;
    case FDFS_DOWNLOAD:
        decode_download(cursor, head);
        break;
    case FDFS_DELETE:
    case FDFS_GET_METADATA:
    case FDFS_QUERY_FILE:
    case FDFS_FETCH:
    case FDFS_FETCH_ALL:
    case FDFS_UPDATE:
        decode_file(cursor, head);
        break;
    case FDFS_STORE_GROUP:
    case FDFS_STORE_GROUP_ALL:
    case FDFS_LIST_GROUP:
    case FDFS_DELETE_GROUP:
        decode_group(cursor, head);
        break;
    case FDFS_LIST_STORAGES:
    case FDFS_DELETE_STORAGE:
    case FDFS_SET_TRUNK:
    case FDFS_STORAGE_ID:
    case FDFS_STORAGE_STATUS:
        decode_group_text(cursor, head);
        break;
    case FDFS_LINK:
    case FDFS_STORAGE_IDS:
    case FDFS_TRACKER_STAT:
    case FDFS_STORAGE_STAT:
    case FDFS_VOLUME_STAT:
        decode_text(cursor, head);
        break;
    default: /* no parameters; of unknown commands nothing is known */
        require(cursor, rest_of(cursor) == 0);
    }
}

int fdfs_decode(struct span bytes, struct fdfs_head *ret, size_t *ret_size)
{
    if (bytes.size < FDFS_HEADER_SIZE)
        return FDFS_NEED_MORE;
    *ret = (struct fdfs_head){
        .body_size = get_u64_be(bytes.data), .command = bytes.data[8], .flags = bytes.data[9]};
    if (ret->body_size > INT64_MAX)
        return FDFS_LOST;
    struct cursor cursor = {
        .bytes = span_of(bytes.data + FDFS_HEADER_SIZE, bytes.size - FDFS_HEADER_SIZE),
        .body_size = ret->body_size};
    decode_parameters(&cursor, ret);
    *ret_size = FDFS_HEADER_SIZE + (cursor.status == FDFS_OK ? cursor.at : 0);
    return cursor.status;
}

void fdfs_answer_header(uint8_t status, uint64_t body_size, uint8_t ret[FDFS_HEADER_SIZE])
{
    put_u64_be(ret, body_size);
    ret[8] = FDFS_ANSWER;
    ret[9] = status;
}
