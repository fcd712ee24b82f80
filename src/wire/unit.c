#include "wire/unit.h"

#include "wire/fid.h"

static bool machine_is_valid(uint32_t machine)
{
    return machine > 0 && machine <= MACHINE_MAX;
}

/* ---- positions ---- */

void unit_position_encode(const struct unit_position *position, struct writer *w)
{
    write_u32(w, position->machine);
    write_u8(w, position->mount);
    write_u8(w, position->stream);
    write_u16(w, 0);
    write_u64(w, position->incarnation);
    write_u64(w, position->lsn);
    write_u64(w, position->coverage.watermark);
    write_u64(w, position->coverage.gap_first);
    write_u64(w, position->coverage.gap_last);
}

err_t unit_position_decode(struct reader *r, struct unit_position *ret)
{
    struct unit_position position = {
        .machine = read_u32(r), .mount = read_u8(r), .stream = read_u8(r)};
    (void)read_u16(r);
    position.incarnation = read_u64(r);
    position.lsn = read_u64(r);
    position.coverage.watermark = read_u64(r);
    position.coverage.gap_first = read_u64(r);
    position.coverage.gap_last = read_u64(r);
    if (r->failed || !machine_is_valid(position.machine))
        return ERR(PROTOCOL, 0);
    *ret = position;
    return ERR_OK;
}

/* ---- digests ---- */

void unit_digest_encode(const struct unit_digest *digest, struct writer *w)
{
    write_u64(w, digest->unit);
    write_u64(w, digest->digest);
    write_u64(w, digest->files);
    write_u64(w, digest->changed_ns);
}

err_t unit_digest_decode(struct reader *r, struct unit_digest *ret)
{
    struct unit_digest digest = {.unit = read_u64(r),
        .digest = read_u64(r),
        .files = read_u64(r),
        .changed_ns = read_u64(r)};
    if (r->failed || !unit_is_valid(digest.unit))
        return ERR(PROTOCOL, 0);
    *ret = digest;
    return ERR_OK;
}

/* ---- files ---- */

static void identity_encode(const struct identity *identity, uint8_t flags, struct writer *w)
{
    write_u64(w, identity->clock);
    write_u32(w, identity->origin);
    write_bytes(w, identity->suffix, SUFFIX_FIELD);
    write_u8(w, flags);
}

static void home_encode(const struct place *home, struct writer *w)
{
    uint8_t bytes[24];
    place_encode(home, bytes);
    write_bytes(w, bytes, sizeof bytes);
}

static void identity_decode(struct reader *r, struct identity *ret, uint8_t *ret_flags)
{
    *ret = (struct identity){.clock = read_u64(r), .origin = read_u32(r)};
    read_bytes(r, ret->suffix, SUFFIX_FIELD);
    *ret_flags = read_u8(r);
}

static void home_decode(struct reader *r, struct place *ret)
{
    uint8_t bytes[24];
    read_bytes(r, bytes, sizeof bytes);
    place_decode(bytes, ret);
}

bool unit_home_is_valid(const struct identity *identity, const struct place *home)
{
    if (!machine_is_valid(identity->origin) || identity->clock == 0
        || identity->clock > FID_CLOCK_MAX || home->machine != identity->origin
        || !suffix_part_is_valid(span_of(identity->suffix, SUFFIX_FIELD)))
        return false;
    if (home->kind == PLACE_SINGLE)
        return home->chunk == 0 && home->offset == 0 && home->slot_size == 0;
    return home->kind == PLACE_PACKED && home->chunk > 0 && home->offset > 0
           && home->offset % SLOT_UNIT == 0 && home->slot_size >= SLOT_UNIT
           && home->slot_size <= SLOT_SIZE_MAX
           && (uint64_t)home->offset + home->slot_size <= UINT32_MAX;
}

void unit_file_encode(const struct unit_file *file, struct writer *w)
{
    identity_encode(&file->identity, file->flags, w);
    write_u64(w, file->version.counter);
    write_u32(w, file->version.machine);
    write_u64(w, file->size);
    write_u32(w, file->crc);
    home_encode(&file->home, w);
}

err_t unit_file_decode(struct reader *r, struct unit_file *ret)
{
    struct unit_file file;
    identity_decode(r, &file.identity, &file.flags);
    file.version.counter = read_u64(r);
    file.version.machine = read_u32(r);
    file.size = read_u64(r);
    file.crc = read_u32(r);
    home_decode(r, &file.home);
    if (r->failed || !unit_home_is_valid(&file.identity, &file.home))
        return ERR(PROTOCOL, 0);
    *ret = file;
    return ERR_OK;
}

void unit_want_encode(const struct identity *identity, const struct place *home, struct writer *w)
{
    identity_encode(identity, 0, w);
    home_encode(home, w);
}

err_t unit_want_decode(struct reader *r, struct identity *ret_identity, struct place *ret_home)
{
    struct identity identity;
    struct place home;
    uint8_t zero;
    identity_decode(r, &identity, &zero);
    home_decode(r, &home);
    if (r->failed || !unit_home_is_valid(&identity, &home))
        return ERR(PROTOCOL, 0);
    *ret_identity = identity;
    *ret_home = home;
    return ERR_OK;
}
