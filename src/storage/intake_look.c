/* What an intake finds here: see intake.c. */
#include "storage/intake_parts.h"

/* ---- what is here ---- */

/* Of our own chunks the table follows behind: what is acknowledged from memory is there before its record
 * is durable. */
bool intake_is_untouched(const struct intake *intake, const struct place *place)
{
    if (place->machine == intake->store->config.machine)
        return false;
    struct chunk_key key = chunk_key_of(place);
    const struct chunk_entry *entry = stream_chunk_find(intake->stream, &key);
    return !entry || place->offset >= entry->end;
}

static uint64_t complete_clock(const struct intake *intake)
{
    struct source_key key = intake_home_source(&intake->entry.record);
    if (intake->is_repair || intake->may_revive)
        return 0;
    uint64_t clock = intake->entry.record.identity.clock;
    return stream_covers(intake->stream, &key, clock) ? UINT64_MAX : 0;
}

int intake_look(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    const struct place *home = &intake->entry.record.home;
    intake->now = (struct apply_state){
        .self = intake->store->config.machine, .complete_clock = complete_clock(intake)};
    intake->is_fresh = intake->has_rest = intake->is_damaged = false;
    if (home->kind == PLACE_PACKED && intake_is_untouched(intake, home)) {
        intake->is_fresh = !intake_at_target(intake);
        return INTAKE_TARGET_LOOK;
    }
    if (home->kind == PLACE_PACKED) {
        int wait = machine_wait_in(machine, INTAKE_HOME_SEEN, 1);
        slot_scan_header(&intake->scan, intake->store, home, intake->scratch, machine);
        return wait;
    }
    int wait = machine_wait_in(machine, INTAKE_CONTENT_SEEN, 1);
    intake->has_reader = true;
    intake->reader = (struct single_reader){.handle = IO_HANDLE_NONE};
    single_reader_open(&intake->reader, &intake->stream->single_mount, machine,
        &intake->entry.record.identity, intake->scratch);
    return wait;
}

static int look_at_content(struct intake *intake)
{
    struct machine *machine = &intake->machine;
    const struct place *target = &intake->now.target;
    int wait = machine_wait_in(machine, INTAKE_CONTENT_SEEN, 1);
    if (target->kind == PLACE_PACKED) {
        slot_scan_header(&intake->scan, intake->store, target, intake->scratch, machine);
        return wait;
    }
    intake->has_reader = true;
    intake->reader = (struct single_reader){.handle = IO_HANDLE_NONE};
    single_reader_open(&intake->reader, &intake->stream->single_mount, machine,
        &intake->entry.record.identity, intake->scratch);
    return wait;
}

/* Is this what is left of the header that should be there, or something else: nothing, or bytes of
 * another tenant? Only the former counts in the digest. Of the fields that never change, three bytes in
 * four have survived. */
static bool is_rest_of_header(const struct intake *intake)
{
    static const struct {
        uint8_t from, to;
    } fixed[] = {{0, 4}, {8, 27}, {28, 32}}; /* magic; clock, origin, suffix; slot units */
    const struct span wanted = intake->entry.record.home_meta;
    const struct slot_scan *scan = &intake->scan;
    unsigned count = 0, equal = 0;
    if (wanted.size < SLOT_HEADER_SIZE || scan->have < SLOT_HEADER_SIZE)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        for (unsigned at = fixed[i].from; at < fixed[i].to; at++) {
            count += wanted.data[at] != 0;
            equal += wanted.data[at] != 0 && wanted.data[at] == intake->scratch[at];
        }
    return 4 * equal >= 3 * count;
}

int intake_home_seen(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    const struct record *record = &intake->entry.record;
    const struct slot_scan *scan = &intake->scan;
    if (err_is(scan->err) && !err_has(scan->err, ERR_CODE_NOT_FOUND))
        return machine_fail(machine, scan->err);
    bool is_its = scan->has_header && identity_equals(&scan->header.identity, &record->identity)
                  && scan->header.slot_size == record->home.slot_size
                  && !(scan->header.flags & SLOT_TARGET);
    if (err_is(scan->err))
        return INTAKE_TARGET_LOOK; /* the chunk file is lost */
    if (!is_its) {
        bool is_own = record->home.machine == intake->store->config.machine;
        intake->is_damaged = intake->is_repair && (is_own || is_rest_of_header(intake));
        int wait = machine_wait_in(machine, INTAKE_HOME_SCANNED, 1);
        slot_scan_tenants(&intake->scan, intake->store, &record->home, record->identity.clock,
            &record->identity, intake->scratch, machine);
        return wait;
    }
    intake->home_header = intake->header = scan->header;
    if (scan->header.flags & SLOT_DELETED) {
        intake->now.life = APPLY_DELETED;
        return INTAKE_TARGET_LOOK;
    }
    intake->now.life = APPLY_LIVE;
    intake->now.version = scan->header.version;
    if (!(scan->header.flags & SLOT_FORWARDED))
        return INTAKE_TARGET_LOOK;
    intake->now.target = scan->header.other;
    return look_at_content(intake);
}

int intake_home_scanned(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    if (err_is(intake->scan.err))
        return machine_fail(machine, intake->scan.err);
    intake->now.home_tenant_birth = intake->scan.youngest;
    intake->has_rest = true;
    return INTAKE_TARGET_LOOK;
}

/* The content can't be read, and the home says that it should be there. */
static void find_damage(struct intake *intake)
{
    intake->is_damaged = true;
    intake->now.wants = intake->now.version;
    intake->now.version = (struct version){0};
}

static err_t see_single(struct intake *intake)
{
    err_t err = intake->reader.chain.err;
    if (!err_is(err)) {
        intake->header = intake->reader.header;
        intake->now.life = intake->header.flags & SLOT_DELETED ? APPLY_DELETED : APPLY_LIVE;
        intake->now.version = intake->header.version;
        return ERR_OK;
    }
    bool is_missing = err_has(err, ERR_CODE_NOT_FOUND);
    if (is_missing && intake->now.life == APPLY_ABSENT)
        return ERR_OK;
    if (!is_missing && !err_has(err, ERR_CODE_CORRUPT))
        return err;
    intake->now.life = APPLY_LIVE;
    find_damage(intake);
    return ERR_OK;
}

static err_t see_target(struct intake *intake)
{
    const struct slot_scan *scan = &intake->scan;
    if (err_is(scan->err) && !err_has(scan->err, ERR_CODE_NOT_FOUND))
        return scan->err;
    bool is_its = !err_is(scan->err) && scan->has_header && (scan->header.flags & SLOT_TARGET)
                  && !(scan->header.flags & SLOT_DELETED)
                  && identity_equals(&scan->header.identity, &intake->entry.record.identity);
    if (!is_its) {
        find_damage(intake);
        return ERR_OK;
    }
    intake->header = scan->header;
    intake->now.version = scan->header.version;
    return ERR_OK;
}

int intake_content_seen(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    err_t err = intake->has_reader ? see_single(intake) : see_target(intake);
    if (intake->has_reader)
        single_reader_close(&intake->reader);
    intake->has_reader = false;
    return err_is(err) ? machine_fail(machine, err) : INTAKE_TARGET_LOOK;
}

/* ---- what stands where the content is to go ---- */

int intake_target_look(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    const struct record *record = &intake->entry.record;
    bool is_slot = intake_at_target(intake) && record->target.kind == PLACE_PACKED;
    if (!is_slot || intake_is_delete(intake) || intake->now.life == APPLY_DELETED
        || apply_place_equals(&record->target, &intake->now.target))
        return INTAKE_DECIDE;
    if (intake_is_untouched(intake, &record->target)) {
        intake->is_fresh = true;
        return INTAKE_DECIDE;
    }
    int wait = machine_wait_in(machine, INTAKE_TARGET_SCANNED, 1);
    slot_scan_tenants(&intake->scan, intake->store, &record->target, record->target.birth, NULL,
        intake->scratch, machine);
    return wait;
}

int intake_target_scanned(struct machine *machine)
{
    struct intake *intake = intake_of(machine);
    if (err_is(intake->scan.err) && !err_has(intake->scan.err, ERR_CODE_NOT_FOUND))
        return machine_fail(machine, intake->scan.err);
    intake->now.target_tenant_birth = intake->scan.youngest;
    return INTAKE_DECIDE;
}
