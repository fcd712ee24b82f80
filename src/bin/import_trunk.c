#include "bin/import_trunk.h"

#include "base/crc.h"
#include "base/text.h"
#include "wire/base64url.h"
#include "wire/fid.h"

enum { TYPE_FREE = 0, TYPE_FILE = 'F', TYPE_LINK = 'L' };
enum { CORE_SIZE = 20, TRUNK_PLACE_SIZE = 12 };
#define WORD_IS_SMALL (UINT64_C(1) << 63)
#define WORD_IS_TRUNK (UINT64_C(1) << 59)

struct header {
    uint8_t type;
    uint32_t allocated, size, crc, time_s;
    char suffix[SUFFIX_FIELD];
};

err_t trunk_scan_open(struct trunk_scan *scan, struct io *io, struct owner *owner, const char *path,
    const char *place, uint32_t number)
{
    struct io_stat stat;
    scan->io = io;
    scan->owner = owner;
    scan->handle = IO_HANDLE_NONE;
    scan->number = number;
    scan->at = scan->window_at = 0;
    scan->window_size = 0;
    memcpy(scan->place, place, sizeof scan->place);
    struct io_op open = {.kind = IO_OPEN,
        .fd = IO_FD_NONE,
        .path = path,
        .open_flags = IO_OPEN_READ,
        .ret_handle = &scan->handle,
        .handle_life = LIFE_REQUEST,
        .owner = owner};
    int64_t result = io_call(io, &open);
    if (result < 0)
        return ERR_RESULT(result);
    struct io_op look = {.kind = IO_STAT, .fd = scan->handle.fd, .ret_stat = &stat, .owner = owner};
    result = io_call(io, &look);
    scan->file_size = result < 0 ? 0 : stat.size;
    if (result < 0)
        trunk_scan_close(scan);
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

void trunk_scan_close(struct trunk_scan *scan)
{
    io_handle_close(scan->io, &scan->handle);
}

/* ---- reading ---- */

static err_t fill_window(struct trunk_scan *scan, uint64_t at)
{
    scan->window_at = at;
    scan->window_size = 0;
    while (scan->window_size < sizeof scan->window) {
        struct iovec piece = {
            scan->window + scan->window_size, sizeof scan->window - scan->window_size};
        struct io_op read = {.kind = IO_READ,
            .fd = scan->handle.fd,
            .offset = at + scan->window_size,
            .iov = &piece,
            .iov_count = 1,
            .owner = scan->owner};
        int64_t result = io_call(scan->io, &read);
        if (result < 0)
            return ERR_RESULT(result);
        if (result == 0)
            break;
        scan->window_size += (size_t)result;
    }
    return ERR_OK;
}

/* `size` bytes at `at`, in the window; fewer at the end of the file. */
static err_t look(struct trunk_scan *scan, uint64_t at, size_t size, struct span *ret)
{
    bool is_there = at >= scan->window_at && at + size <= scan->window_at + scan->window_size;
    if (!is_there)
        TRY(fill_window(scan, at));
    size_t skip = (size_t)(at - scan->window_at), have = scan->window_size - skip;
    *ret = span_of(scan->window + skip, have < size ? have : size);
    return ERR_OK;
}

static struct header decode(const uint8_t *bytes)
{
    struct header header = {.type = bytes[0],
        .allocated = get_u32_be(bytes + 1),
        .size = get_u32_be(bytes + 5),
        .crc = get_u32_be(bytes + 9),
        .time_s = get_u32_be(bytes + 13)};
    memcpy(header.suffix, bytes + 17, sizeof header.suffix);
    return header;
}

/* Could FastDFS have written this at `at`? */
static bool is_sound(const struct trunk_scan *scan, uint64_t at, const struct header *header)
{
    bool does_fit =
        header->allocated >= TRUNK_SLOT_HEADER && header->allocated <= scan->file_size - at;
    if (header->type == TYPE_FREE)
        return does_fit;
    return does_fit && (header->type == TYPE_FILE || header->type == TYPE_LINK)
           && header->size <= header->allocated - TRUNK_SLOT_HEADER
           && fdfs_word_is_valid(span_of(header->suffix, sizeof header->suffix));
}

static err_t content_is_whole(
    struct trunk_scan *scan, uint64_t at, const struct header *header, bool *ret)
{
    uint32_t crc = 0;
    for (uint64_t done = 0; done < header->size;) {
        uint64_t left = header->size - done;
        struct span piece;
        TRY(look(scan, at + TRUNK_SLOT_HEADER + done,
            left < TRUNK_WINDOW ? (size_t)left : TRUNK_WINDOW, &piece));
        if (piece.size == 0)
            break;
        crc = crc32_update(crc, piece.data, piece.size);
        done += piece.size;
    }
    *ret = crc == header->crc;
    return ERR_OK;
}

/* ---- what is no slot ---- */

static bool is_zero(struct span bytes)
{
    for (size_t i = 0; i < bytes.size; i++)
        if (bytes.data[i] != 0)
            return false;
    return true;
}

/* The first byte at or behind scan->at that is not zero. */
static err_t skip_zeros(struct trunk_scan *scan)
{
    while (scan->at < scan->file_size) {
        struct span bytes;
        TRY(look(scan, scan->at, TRUNK_WINDOW, &bytes));
        size_t i = 0;
        while (i < bytes.size && bytes.data[i] == 0)
            i++;
        scan->at += i;
        if (i < bytes.size || bytes.size == 0)
            return ERR_OK;
    }
    return ERR_OK;
}

/* Forward to the next slot whose content proves that it is one, or to the end. */
static err_t find_slot(struct trunk_scan *scan)
{
    for (scan->at++; scan->at < scan->file_size; scan->at++) {
        struct span bytes;
        bool is_whole = false;
        TRY(look(scan, scan->at, TRUNK_SLOT_HEADER, &bytes));
        if (bytes.size < TRUNK_SLOT_HEADER)
            break;
        if (bytes.data[0] != TYPE_FILE)
            continue;
        struct header header = decode(bytes.data);
        if (is_sound(scan, scan->at, &header) && header.size > 0)
            TRY(content_is_whole(scan, scan->at, &header, &is_whole));
        if (is_whole)
            return ERR_OK;
    }
    scan->at = scan->file_size;
    return ERR_OK;
}

/* ---- names ---- */

static void make_name(
    const struct trunk_scan *scan, const struct header *header, struct trunk_slot *ret)
{
    uint8_t core[CORE_SIZE] = {0}, place[TRUNK_PLACE_SIZE];
    char core_text[FDFS_CORE_LENGTH], place_text[FDFS_TRUNK_LENGTH];
    struct text text;
    put_u32_be(core + 4, header->time_s);
    put_u64_be(core + 8, WORD_IS_SMALL | WORD_IS_TRUNK | header->size);
    put_u32_be(core + 16, header->crc);
    put_u32_be(place, scan->number);
    put_u32_be(place + 4, (uint32_t)scan->at);
    put_u32_be(place + 8, header->allocated);
    base64url_encode(core, sizeof core, core_text);
    base64url_encode(place, sizeof place, place_text);
    text_init(&text, ret->name, sizeof ret->name);
    text_add(&text, "%s%.*s%.*s%.*s", scan->place, (int)sizeof core_text, core_text,
        (int)sizeof place_text, place_text, (int)sizeof header->suffix, header->suffix);
    ret->at = scan->at + TRUNK_SLOT_HEADER;
    ret->size = header->size;
    ret->crc = header->crc;
    ret->time_s = header->time_s;
}

static enum trunk_result fail(err_t err, err_t *ret_err)
{
    *ret_err = err;
    return TRUNK_FAILED;
}

enum trunk_result trunk_scan_next(struct trunk_scan *scan, struct trunk_slot *ret,
    uint64_t *ret_from, uint64_t *ret_size, err_t *ret_err)
{
    while (scan->at < scan->file_size) {
        struct span bytes;
        err_t err = look(scan, scan->at, TRUNK_SLOT_HEADER, &bytes);
        if (!err_is(err) && is_zero(bytes)) {
            err = skip_zeros(scan);
            if (!err_is(err))
                continue;
        }
        if (err_is(err))
            return fail(err, ret_err);
        struct header header = {.type = 0};
        if (bytes.size == TRUNK_SLOT_HEADER)
            header = decode(bytes.data);
        uint64_t from = scan->at;
        if (!is_sound(scan, from, &header)) {
            err = find_slot(scan);
            *ret_from = from;
            *ret_size = scan->at - from;
            return err_is(err) ? fail(err, ret_err) : TRUNK_NO_SLOT;
        }
        if (header.type == TYPE_FILE)
            make_name(scan, &header, ret);
        scan->at += header.allocated;
        *ret_from = from;
        *ret_size = header.allocated;
        if (header.type != TYPE_FREE)
            return header.type == TYPE_FILE ? TRUNK_FILE : TRUNK_LINK;
    }
    return TRUNK_END;
}
