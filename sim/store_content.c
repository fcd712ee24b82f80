#include "sim/store_content.h"

#include "base/check.h"
#include "base/crc.h"
#include "sim/mem.h"
#include "wire/msg.h"

enum { HOLE_MIN = 1 << 16 };

struct hole {
    uint64_t begin, end;
};

static struct model_content *content_alloc(uint64_t size, struct hole hole)
{
    struct model_content *content = sim_alloc(sizeof *content + size - (hole.end - hole.begin));
    content->references = 1;
    content->size = size;
    content->hole_begin = hole.begin;
    content->hole_end = hole.end;
    return content;
}

struct model_content *model_content_new(const void *data, size_t size)
{
    struct model_content *content = content_alloc(size, (struct hole){0});
    if (data && size > 0)
        memcpy(content->data, data, size);
    return content;
}

struct model_content *model_content_ref(struct model_content *content)
{
    if (content)
        content->references++;
    return content;
}

void model_content_unref(struct model_content *content)
{
    if (content && --content->references == 0)
        sim_free(content);
}

/* The bytes from `offset` on that lie in one piece, at most `size`; data NULL: so many zeros, of the
 * hole or behind the end. */
static struct span content_piece(
    const struct model_content *content, uint64_t offset, uint64_t size)
{
    bool is_before = offset < content->hole_begin;
    bool is_hole = !is_before && offset < content->hole_end;
    uint64_t end = is_before ? content->hole_begin : is_hole ? content->hole_end : content->size;
    if (offset >= content->size)
        return span_of(NULL, size);
    uint64_t left = end - offset < size ? end - offset : size;
    uint64_t skipped = is_before ? 0 : content->hole_end - content->hole_begin;
    return span_of(is_hole ? NULL : content->data + (offset - skipped), left);
}

/* ---- edits ---- */

static uint64_t hole_size(struct hole hole)
{
    return hole.end > hole.begin ? hole.end - hole.begin : 0;
}

static struct hole hole_larger(struct hole a, struct hole b)
{
    return hole_size(b) > hole_size(a) ? b : a;
}

/* What is left of a hole, in one piece, when [from, to) is written. */
static struct hole hole_without(struct hole hole, uint64_t from, uint64_t to)
{
    if (from >= to || to <= hole.begin || from >= hole.end)
        return hole;
    return hole_larger((struct hole){hole.begin, from}, (struct hole){to, hole.end});
}

static struct hole hole_after(
    const struct model_content *old, uint64_t at, uint64_t size, uint64_t total)
{
    struct hole hole = {old->hole_begin, old->hole_end < total ? old->hole_end : total};
    struct hole growth = {old->size, total};
    if (hole_size(hole) > 0 && hole.end == growth.begin && growth.end > growth.begin)
        hole.end = growth.end;
    hole = hole_larger(hole_without(hole, at, at + size), hole_without(growth, at, at + size));
    return hole_size(hole) >= HOLE_MIN ? hole : (struct hole){0};
}

/* Both are outside of the new content's hole. */
static void content_fill(
    struct model_content *content, const struct model_content *old, uint64_t from, uint64_t to)
{
    while (from < to) {
        struct span piece = content_piece(old, from, to - from);
        union { /* it is ours to write */
            const uint8_t *from;
            uint8_t *to;
        } place = {content_piece(content, from, piece.size).data};
        if (piece.data)
            memcpy(place.to, piece.data, piece.size);
        else
            memset(place.to, 0, piece.size);
        from += piece.size;
    }
}

struct model_content *model_content_edit(
    const struct model_content *old, uint64_t at, struct span bytes, uint64_t total)
{
    CHECK(at + bytes.size <= total);
    struct hole hole = hole_after(old, at, bytes.size, total);
    struct model_content *content = content_alloc(total, hole);
    content_fill(content, old, 0, hole.begin);
    content_fill(content, old, hole.end, total);
    if (bytes.size > 0)
        memcpy(content->data + (at < hole.begin || hole.end == 0 ? at : at - hole_size(hole)),
            bytes.data, bytes.size);
    return content;
}

/* ---- looking at it ---- */

static bool is_zero(const uint8_t *data, size_t size)
{
    return size == 0 || (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0);
}

bool model_content_matches(const struct model_content *content, uint64_t offset, struct span bytes)
{
    if (offset > content->size || bytes.size > content->size - offset)
        return false;
    for (size_t at = 0; at < bytes.size;) {
        struct span piece = content_piece(content, offset + at, bytes.size - at);
        if (piece.data ? memcmp(bytes.data + at, piece.data, piece.size) != 0
                       : !is_zero(bytes.data + at, piece.size))
            return false;
        at += piece.size;
    }
    return true;
}

uint32_t model_content_crc(const struct model_content *content)
{
    uint32_t crc = crc32_update(0, content->data, content->hole_begin);
    uint64_t zeros = content->hole_end - content->hole_begin;
    crc = crc32_combine(crc ^ UINT32_MAX, 0, zeros) ^ UINT32_MAX; /* the register, shifted */
    return crc32_update(
        crc, content->data + content->hole_begin, content->size - content->hole_end);
}

struct model_content *model_content_change(
    uint8_t mode, uint64_t offset, struct model_content *body, const struct model_content *old)
{
    struct span bytes = body ? span_of(body->data, body->size) : span_of(NULL, 0);
    uint64_t end = offset + bytes.size;
    switch (mode) {
    case MODIFY_TRUNCATE:
        return model_content_edit(old, 0, span_of(NULL, 0), offset);
    case MODIFY_APPEND:
        return model_content_edit(old, old->size, bytes, old->size + bytes.size);
    case MODIFY_WRITE:
        return model_content_edit(old, offset, bytes, end > old->size ? end : old->size);
    default:
        return model_content_ref(body);
    }
}
