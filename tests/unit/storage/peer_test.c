/* What a storage tells its peers about its files: INVENTORY, HARVEST, FETCH. */
#include "base/crc.h"
#include "tests/lib/test.h"
#include "tests/unit/storage/group.h"
#include "wire/entry.h"

enum { FILES = 40 };

static struct group group;
static uint8_t bytes[1 << 20];

struct inventory {
    struct unit_file files[2000];
    uint32_t count, pages;
};
static struct inventory inventory;

/* All of a unit, page by page. */
static err_t take_inventory(unsigned index, const struct place *home, uint64_t unit)
{
    struct msg_inventory_reply reply = {.next = 0};
    inventory.count = inventory.pages = 0;
    do {
        struct group_answer answer;
        struct writer w = group_fields();
        msg_inventory_encode(&(struct msg_inventory){.machine = home->machine,
                                 .mount = home->mount,
                                 .stream = home->stream,
                                 .unit = unit,
                                 .cursor = reply.next},
            &w);
        group_ask(&group, index, MSG_INVENTORY, &w, NULL, 0, &answer);
        TRY(answer.err);
        EXPECT_OK(msg_inventory_reply_decode(span_of(answer.meta, answer.meta_size), &reply));
        EXPECT_EQ(answer.size, reply.count * UNIT_FILE_SIZE);
        struct reader r = {.data = answer.data, .size = answer.size};
        for (uint32_t i = 0; i < reply.count; i++)
            EXPECT_OK(unit_file_decode(&r, &inventory.files[inventory.count++]));
        inventory.pages++;
    } while (reply.next != 0);
    return ERR_OK;
}

static const struct unit_file *in_inventory(const struct fid *fid)
{
    const struct unit_file *found = NULL;
    for (uint32_t i = 0; i < inventory.count; i++) {
        if (!identity_equals(&inventory.files[i].identity, &fid->identity))
            continue;
        EXPECT(!found);
        found = &inventory.files[i];
    }
    return found;
}

static const struct unit_file *take_and_find(const struct fid *fid)
{
    struct place home = group_home(fid);
    EXPECT_OK(take_inventory(0, &home, unit_of(&fid->identity, &home)));
    return in_inventory(fid);
}

static void expect_listed(const struct fid *fid, size_t size, unsigned mark, uint8_t flags)
{
    const struct unit_file *file = take_and_find(fid);
    EXPECT(file != NULL);
    EXPECT_EQ(file->flags, flags);
    EXPECT_EQ(file->size, size);
    group_fill(bytes, size, mark);
    EXPECT_EQ(file->crc, crc32_update(0, bytes, size));
    struct place home = group_home(fid);
    EXPECT(place_equals(&file->home, &home));
}

static void harvest(const struct fid *fids, unsigned count, struct group_answer *ret)
{
    static uint8_t wants[FILES * UNIT_WANT_SIZE];
    struct writer body = {.data = wants, .capacity = sizeof wants}, w = group_fields();
    for (unsigned i = 0; i < count; i++) {
        struct place home = group_home(&fids[i]);
        unit_want_encode(&fids[i].identity, &home, &body);
    }
    msg_harvest_encode(&(struct msg_harvest){.count = count}, &w);
    group_ask(&group, 0, MSG_HARVEST, &w, body.data, body.size, ret);
}

static void fetch(const struct fid *fid, struct group_answer *ret)
{
    struct writer w = group_fields();
    struct place home = group_home(fid);
    uint8_t place[24];
    place_encode(&home, place);
    msg_fetch_encode(&(struct msg_fetch){.clock = fid->identity.clock,
                         .origin = fid->identity.origin,
                         .suffix = span_of(fid->identity.suffix, SUFFIX_FIELD),
                         .home = span_of(place, sizeof place)},
        &w);
    group_ask(&group, 0, MSG_FETCH, &w, NULL, 0, ret);
}

static void expect_meta(struct span meta, uint32_t seed, const struct record *record, uint8_t flags)
{
    struct slot_header header;
    uint32_t need;
    EXPECT_OK(slot_meta_decode(meta, seed, &header, &need));
    EXPECT(identity_equals(&header.identity, &record->identity));
    EXPECT_EQ(header.flags & ~SLOT_MUTABLE, flags);
}

/* An entry whose content is `size` bytes of `mark`, of a file whose content is in a slot or not. */
static void expect_entry(const struct entry *entry, struct span content, const struct fid *fid,
    size_t size, unsigned mark, bool is_forwarded, bool is_single)
{
    const struct record *record = &entry->record;
    struct place home = group_home(fid);
    group_fill(bytes, size, mark);
    EXPECT_EQ(record->kind, RECORD_FULL);
    EXPECT_EQ(record->origin, 1);
    EXPECT(identity_equals(&record->identity, &fid->identity));
    EXPECT(place_equals(&record->home, &home));
    EXPECT_EQ(record->total_size, size);
    EXPECT_EQ(record->content_crc, crc32_update(0, bytes, size));
    EXPECT_EQ(content.size, size);
    EXPECT(memcmp(content.data, bytes, size) == 0);
    EXPECT_EQ((record->flags & RECORD_AT_TARGET) != 0, is_forwarded);
    EXPECT_EQ((record->flags & RECORD_RENAMES) != 0, is_single);
    EXPECT_EQ((entry->home_seed != 0), fid->is_packed);
    EXPECT_EQ((entry->target_seed != 0), is_forwarded && !is_single);
    expect_meta(record->home_meta, entry->home_seed, record, is_forwarded ? SLOT_FORWARDED : 0);
    if (is_forwarded)
        expect_meta(record->target_meta, entry->target_seed, record, is_single ? 0 : SLOT_TARGET);
}

static void expect_fetched(
    const struct fid *fid, size_t size, unsigned mark, bool is_forwarded, bool is_single)
{
    struct group_answer answer;
    struct msg_fetched fetched;
    struct entry entry;
    size_t entry_size;
    fetch(fid, &answer);
    EXPECT_OK(answer.err);
    EXPECT_OK(msg_fetched_decode(span_of(answer.meta, answer.meta_size), &fetched));
    EXPECT_EQ(fetched.content_size, size);
    EXPECT_OK(entry_decode(span_of(answer.data, answer.size), &entry, &entry_size));
    EXPECT(!(entry.record.flags & RECORD_INLINE));
    expect_entry(&entry, span_of(answer.data + entry_size, answer.size - entry_size), fid, size,
        mark, is_forwarded, is_single);
}

TEST(an_inventory_lists_every_file_of_a_unit_once_with_version_size_and_checksum)
{
    struct fid fids[FILES];
    group_open(&group, 1, 1, 2);
    group_start(&group, 0);
    for (unsigned i = 0; i < FILES; i++)
        fids[i] = group_put(&group, 0, 100 + i * 900, i);
    for (unsigned i = 0; i < FILES; i++)
        expect_listed(&fids[i], 100 + i * 900, i, fids[i].is_packed ? 0 : UNIT_FILE_SINGLE);
    group_stop(&group, 0); /* every chunk is sealed now or its map is read again */
    group_start(&group, 0);
    for (unsigned i = 0; i < FILES; i++)
        expect_listed(&fids[i], 100 + i * 900, i, fids[i].is_packed ? 0 : UNIT_FILE_SINGLE);
    group_close(&group);
}

TEST(an_inventory_tells_of_deleted_slots_and_of_contents_that_moved)
{
    group_open(&group, 2, 1, 1);
    group_start(&group, 0);
    struct fid stays = group_put(&group, 0, 1000, 1), goes = group_put(&group, 0, 1000, 2);
    struct fid grows = group_put(&group, 0, 1000, 3), leaves = group_put(&group, 0, 1000, 4);
    struct fid single = group_put(&group, 0, 50000, 5);
    group_modify(&group, 0, &grows, MODIFY_REPLACE, 0, 9000, 6);
    group_modify(&group, 0, &leaves, MODIFY_REPLACE, 0, 70000, 7);
    group_modify(&group, 0, &single, MODIFY_REPLACE, 0, 60000, 8);
    expect_listed(&stays, 1000, 1, 0);
    expect_listed(&grows, 9000, 6, UNIT_FILE_FORWARDED);
    expect_listed(&leaves, 70000, 7, UNIT_FILE_FORWARDED | UNIT_FILE_SINGLE);
    expect_listed(&single, 60000, 8, UNIT_FILE_SINGLE);
    group_remove(&group, 0, &goes, true);
    group_remove(&group, 0, &grows, true);
    group_remove(&group, 0, &single, true);
    EXPECT(take_and_find(&single) == NULL);
    expect_listed(&stays, 1000, 1, 0);
    for (unsigned round = 0; round < 2; round++) {
        const struct unit_file *file = take_and_find(&leaves);
        EXPECT(file != NULL && file->size == 70000);
        EXPECT_ERR(group_find_err(&group, 0, &goes, true), NOT_FOUND);
        group_stop(&group, 0);
        group_start(&group, 0);
    }
    group_close(&group);
}

TEST(an_inventory_of_nothing_is_empty_and_of_nonsense_refused)
{
    struct place home = {.machine = 1};
    group_open(&group, 3, 1, 1);
    group_start(&group, 0);
    EXPECT_OK(take_inventory(0, &home, 77));
    EXPECT_EQ(inventory.count, 0);
    EXPECT_OK(take_inventory(0, &home, UNIT_BUCKET_FIRST + 5));
    EXPECT_EQ(inventory.count, 0);
    EXPECT_ERR(take_inventory(0, &home, 0), PROTOCOL);
    EXPECT_ERR(take_inventory(0, &home, UNIT_BUCKET_FIRST + UNIT_BUCKETS), PROTOCOL);
    home.machine = 999;
    EXPECT_ERR(take_inventory(0, &home, 1), NOT_FOUND);
    home = (struct place){.machine = 1, .stream = 200};
    EXPECT_ERR(take_inventory(0, &home, 1), NOT_FOUND);
    home = (struct place){.machine = 1, .mount = 9};
    EXPECT_ERR(take_inventory(0, &home, 1), NOT_FOUND);
    group_close(&group);
}

TEST(a_long_inventory_comes_in_pages_without_gaps)
{
    enum { MANY = 1000 };
    static struct fid fids[MANY];
    group_open(&group, 4, 1, 1);
    group_start(&group, 0);
    for (unsigned i = 0; i < MANY; i++)
        fids[i] = group_put(&group, 0, 1 + i % 50, i);
    uint32_t found = 0;
    for (uint32_t chunk = 1; chunk < 10; chunk++) {
        struct place home = {.machine = 1};
        EXPECT_OK(take_inventory(0, &home, chunk));
        for (unsigned i = 0; i < MANY; i++)
            if (fids[i].chunk == chunk)
                found += in_inventory(&fids[i]) != NULL;
    }
    EXPECT_EQ(found, MANY);
    group_close(&group);
}

TEST(a_harvest_brings_packed_files_whole_and_leaves_out_what_is_not_there)
{
    struct fid fids[FILES];
    struct group_answer answer;
    struct msg_harvested harvested;
    group_open(&group, 5, 1, 1);
    group_start(&group, 0);
    for (unsigned i = 0; i < FILES; i++)
        fids[i] = group_put(&group, 0, i * 400, i);
    group_modify(&group, 0, &fids[1], MODIFY_REPLACE, 0, 9000, 101);
    group_modify(&group, 0, &fids[2], MODIFY_REPLACE, 0, 60000, 102); /* FETCH only */
    group_remove(&group, 0, &fids[3], true);
    unsigned at = 0, count = 0;
    while (at < FILES) {
        harvest(fids + at, FILES - at, &answer);
        EXPECT_OK(answer.err);
        EXPECT_OK(msg_harvested_decode(span_of(answer.meta, answer.meta_size), &harvested));
        EXPECT(harvested.count > 0);
        size_t offset = 0, size;
        for (unsigned i = 0; i < harvested.count; i++, at++, count++) {
            struct entry entry;
            while (at == 2 || at == 3)
                at++;
            EXPECT_OK(
                entry_decode(span_of(answer.data + offset, answer.size - offset), &entry, &size));
            EXPECT((entry.record.flags & RECORD_INLINE) != 0);
            expect_entry(&entry, entry.record.content, &fids[at], at == 1 ? 9000 : at * 400,
                at == 1 ? 101 : at, at == 1, false);
            offset += size;
        }
        EXPECT_EQ(offset, answer.size);
    }
    EXPECT_EQ(count, FILES - 2);
    group_close(&group);
}

TEST(a_harvest_of_nonsense_is_refused)
{
    struct group_answer answer;
    struct writer w = group_fields();
    uint8_t want[UNIT_WANT_SIZE] = {1};
    group_open(&group, 6, 1, 1);
    group_start(&group, 0);
    msg_harvest_encode(&(struct msg_harvest){.count = 1}, &w);
    group_ask(&group, 0, MSG_HARVEST, &w, want, sizeof want, &answer);
    EXPECT_ERR(answer.err, PROTOCOL);
    group_ask(&group, 0, MSG_HARVEST, &w, want, 7, &answer);
    EXPECT_ERR(answer.err, PROTOCOL);
    group_ask(&group, 0, MSG_HARVEST, &w, NULL, 0, &answer);
    EXPECT_ERR(answer.err, PROTOCOL);
    group_ask(&group, 0, MSG_INVENTORY, &w, NULL, 0, &answer);
    EXPECT_ERR(answer.err, PROTOCOL);
    group_ask(&group, 0, MSG_FETCH, &w, NULL, 0, &answer);
    EXPECT_ERR(answer.err, PROTOCOL);
    group_close(&group);
}

TEST(a_fetch_brings_a_file_of_any_kind_whole)
{
    static const size_t sizes[] = {0, 1, 4096, 16384, 16385, 65536, 300000};
    group_open(&group, 7, 1, 2);
    group_start(&group, 0);
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        struct fid fid = group_put(&group, 0, sizes[i], i);
        expect_fetched(&fid, sizes[i], i, false, !fid.is_packed);
        group_modify(&group, 0, &fid, MODIFY_REPLACE, 0, 12000, 50);
        bool fits = fid.is_packed && fid.slot_size > 12000 + 200;
        expect_fetched(&fid, 12000, 50, fid.is_packed && !fits, !fid.is_packed);
        group_modify(&group, 0, &fid, MODIFY_REPLACE, 0, 100000, 51);
        expect_fetched(&fid, 100000, 51, fid.is_packed, true);
        group_remove(&group, 0, &fid, true);
        struct group_answer answer;
        fetch(&fid, &answer);
        EXPECT_ERR(answer.err, NOT_FOUND);
    }
    group_close(&group);
}

TEST(damaged_files_are_neither_harvested_nor_fetched)
{
    struct group_answer answer;
    struct msg_harvested harvested;
    group_open(&group, 8, 1, 1);
    group_start(&group, 0);
    struct fid fids[2] = {group_put(&group, 0, 3000, 1), group_put(&group, 0, 3000, 2)};
    struct fid single = group_put(&group, 0, 30000, 3);
    group_stop(&group, 0);
    char path[64];
    struct chunk_key key = {1, 0, 0, fids[0].chunk};
    chunk_path(path, &key);
    char full[96];
    (void)snprintf(full, sizeof full, "/m0/%s", path);
    sim_file_flip_bit(group.houses[0].node, full, fids[0].offset + 1000, 3);
    single_path(path, &single.identity);
    (void)snprintf(full, sizeof full, "/m0/%s", path);
    sim_file_flip_bit(group.houses[0].node, full, 12000, 3);
    group_start(&group, 0);
    harvest(fids, 2, &answer);
    EXPECT_OK(answer.err);
    EXPECT_OK(msg_harvested_decode(span_of(answer.meta, answer.meta_size), &harvested));
    EXPECT_EQ(harvested.count, 1);
    fetch(&fids[0], &answer);
    EXPECT_ERR(answer.err, CORRUPT);
    fetch(&single, &answer);
    EXPECT_ERR(answer.err, CORRUPT);
    expect_fetched(&fids[1], 3000, 2, false, false);
    group_close(&group);
}

/* ---- units and positions ---- */

static struct unit_digest units[512];

static uint32_t take_units(unsigned index, const struct source_key *source)
{
    struct msg_units_reply reply = {.next = 0};
    uint32_t count = 0;
    do {
        struct group_answer answer;
        struct writer w = group_fields();
        msg_units_encode(&(struct msg_units){.machine = source->machine,
                             .mount = source->mount,
                             .stream = source->stream,
                             .from = reply.next},
            &w);
        group_ask(&group, index, MSG_UNITS, &w, NULL, 0, &answer);
        EXPECT_OK(answer.err);
        EXPECT_OK(msg_units_reply_decode(span_of(answer.meta, answer.meta_size), &reply));
        EXPECT_EQ(answer.size, reply.count * UNIT_DIGEST_SIZE);
        struct reader r = {.data = answer.data, .size = answer.size};
        for (uint32_t i = 0; i < reply.count; i++)
            EXPECT_OK(unit_digest_decode(&r, &units[count++]));
    } while (reply.next != 0);
    return count;
}

/* What the units say is what their inventories add up to. */
static uint64_t expect_units_true(const struct source_key *source)
{
    uint64_t files = 0;
    uint32_t count = take_units(0, source);
    struct place home = {
        .machine = source->machine, .mount = source->mount, .stream = source->stream};
    for (uint32_t i = 0; i < count; i++) {
        struct digest digest = {0};
        EXPECT_OK(take_inventory(0, &home, units[i].unit));
        for (uint32_t k = 0; k < inventory.count; k++) {
            const struct unit_file *file = &inventory.files[k];
            EXPECT(unit_of(&file->identity, &file->home) == units[i].unit);
            if (!(file->flags & UNIT_FILE_DELETED))
                digest_add(
                    &digest, file_digest(&file->identity, file->version, file->size, file->crc), 1);
        }
        EXPECT_EQ(units[i].digest, digest.sum);
        EXPECT_EQ(units[i].files, digest.count);
        files += digest.count;
    }
    return files;
}

TEST(the_digests_of_units_are_those_of_their_inventories)
{
    struct fid fids[FILES];
    group_open(&group, 9, 1, 2);
    group_start(&group, 0);
    for (unsigned i = 0; i < FILES; i++)
        fids[i] = group_put(&group, 0, i * 900, i);
    for (unsigned i = 0; i < FILES; i += 4)
        group_remove(&group, 0, &fids[i], true);
    for (unsigned i = 1; i < FILES; i += 4)
        group_modify(&group, 0, &fids[i], MODIFY_REPLACE, 0, 500 * i, i);
    for (unsigned i = 2; i < FILES; i += 4)
        group_modify(&group, 0, &fids[i], MODIFY_APPEND, 0, 5000, i);
    for (unsigned round = 0; round < 3; round++) {
        uint64_t files = expect_units_true(&(struct source_key){1, 0, 0})
                         + expect_units_true(&(struct source_key){1, 0, 1});
        EXPECT_EQ(files, FILES / 4 * 3);
        if (round == 0)
            group_stop(&group, 0);
        else
            group_kill(&group, 0, true);
        group_start(&group, 0);
    }
    group_close(&group);
}

TEST(positions_name_every_stream_of_every_loop)
{
    struct group_answer answer;
    struct writer w = group_fields();
    struct msg_positions_reply reply;
    group_open(&group, 10, 1, 2);
    group_start(&group, 0);
    for (unsigned i = 0; i < 10; i++)
        (void)group_put(&group, 0, 100, i);
    group_ask(&group, 0, MSG_POSITIONS, &w, NULL, 0, &answer);
    EXPECT_OK(answer.err);
    EXPECT_OK(msg_positions_reply_decode(span_of(answer.meta, answer.meta_size), &reply));
    EXPECT_EQ(reply.count, 2);
    struct reader r = {.data = answer.data, .size = answer.size};
    for (unsigned i = 0; i < reply.count; i++) {
        struct unit_position position;
        EXPECT_OK(unit_position_decode(&r, &position));
        EXPECT_EQ(position.machine, 1);
        EXPECT_EQ(position.stream, i);
        EXPECT(position.incarnation > 0);
        EXPECT(position.lsn > 0);
    }
    group_close(&group);
}
