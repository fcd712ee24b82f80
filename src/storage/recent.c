#include "storage/recent.h"

uint64_t recent_bytes(uint32_t capacity)
{
    uint64_t places = 1;
    while (places * 3 / 4 < capacity)
        places *= 2;
    return capacity * (uint64_t)sizeof(struct recent_upload) + places * sizeof(struct map_entry);
}

err_t recent_init(
    struct recent *recent, struct mem *mem, uint32_t capacity, uint64_t seed, struct owner *owner)
{
    *recent = (struct recent){.capacity = capacity};
    if (capacity == 0)
        return ERR_OK;
    void *block;
    TRY(mem_take(mem, owner, sizeof(struct recent_upload) * (size_t)capacity, 0, &block));
    recent->uploads = block;
    recent->mem = mem;
    err_t err = map_init(&recent->by_nonce, mem, capacity, seed, owner);
    if (err_is(err)) {
        mem_give(mem, recent->uploads);
        *recent = (struct recent){0};
    }
    return err;
}

void recent_fini(struct recent *recent)
{
    if (!recent->uploads)
        return;
    map_fini(&recent->by_nonce);
    mem_give(recent->mem, recent->uploads);
    recent->uploads = NULL;
}

static struct map_key key_of(const struct nonce *nonce)
{
    return (struct map_key){get_u64(nonce->bytes), get_u64(nonce->bytes + 8)};
}

static void forget(struct recent *recent, uint32_t at)
{
    uint64_t known;
    struct map_key key = key_of(&recent->uploads[at].nonce);
    if (nonce_is_none(&recent->uploads[at].nonce))
        return;
    if (map_get(&recent->by_nonce, key, &known) && known == at)
        map_remove(&recent->by_nonce, key);
}

/* Whether the file may be modified stands in the header that the record brings. */
static bool says_mutable(const struct record *record)
{
    return slot_meta_flags(record->home_meta) & SLOT_MUTABLE;
}

void recent_note(struct recent *recent, const struct record *record)
{
    if (recent->capacity == 0 || nonce_is_none(&record->nonce)
        || recent_find(recent, &record->nonce))
        return;
    uint32_t at = recent->next;
    recent->next = (at + 1) % recent->capacity;
    forget(recent, at);
    recent->uploads[at] = (struct recent_upload){.nonce = record->nonce,
        .identity = record->identity,
        .home = record->home,
        .version = record->version,
        .size = record->total_size,
        .lsn = record->lsn,
        .crc = record->content_crc,
        .is_mutable = says_mutable(record)};
    bool has_room = map_put(&recent->by_nonce, key_of(&record->nonce), at);
    CHECK(has_room);
}

const struct recent_upload *recent_find(const struct recent *recent, const struct nonce *nonce)
{
    uint64_t at;
    if (recent->capacity == 0 || nonce_is_none(nonce)
        || !map_get(&recent->by_nonce, key_of(nonce), &at))
        return NULL;
    return &recent->uploads[at];
}

struct fid recent_fid(const struct recent_upload *upload, const char *group)
{
    const struct place *home = &upload->home;
    struct fid fid = {.identity = upload->identity,
        .mount = home->mount,
        .stream = home->stream,
        .is_packed = home->kind == PLACE_PACKED,
        .is_mutable = upload->is_mutable || upload->size > UINT32_MAX};
    size_t size = strlen(group);
    CHECK(size < sizeof fid.group);
    memcpy(fid.group, group, size);
    if (!fid.is_mutable) {
        fid.size = upload->size;
        fid.crc = upload->crc;
    }
    if (fid.is_packed) {
        fid.chunk = home->chunk;
        fid.offset = home->offset;
        fid.slot_size = home->slot_size;
    }
    return fid;
}
