#include "storage/slot_scan.h"

enum { SCAN_ACQUIRE, SCAN_READ, SCAN_HAVE, SCAN_UNWIND, SCAN_DONE, SCAN_STAGES };

static struct slot_scan *scan_of(struct machine *machine)
{
    return CONTAINER_OF(machine, struct slot_scan, machine);
}

uint64_t slot_scan_birth(const struct slot_header *header)
{
    bool is_placed = (header->flags & SLOT_TARGET)
                     || ((header->flags & SLOT_DELETED) && header->birth.counter != 0);
    return is_placed ? header->birth.counter : header->identity.clock;
}

static int scan_acquire(struct machine *machine)
{
    struct slot_scan *scan = scan_of(machine);
    if (chunk_acquire(&scan->store->files, &scan->key, &scan->ref, machine))
        return SCAN_READ;
    return machine_wait_in(machine, SCAN_READ, 1);
}

static int scan_read(struct machine *machine)
{
    struct slot_scan *scan = scan_of(machine);
    if (!scan->ref.file)
        return machine_fail(machine, scan->ref.err);
    int wait = machine_wait_in(machine, SCAN_HAVE, 1);
    scan->iov = (struct iovec){scan->buffer + scan->have, scan->want - scan->have};
    scan->op = (struct io_op){.kind = IO_READ,
        .fd = scan->ref.file->handle.fd,
        .offset = (uint64_t)scan->at + scan->have,
        .iov = &scan->iov,
        .iov_count = 1,
        .owner = &machine->owner,
        .wake = io_wake_machine,
        .context = machine};
    io_submit(scan->store->io, &scan->op);
    return wait;
}

/* ---- what a header means ---- */

static bool header_at(const struct slot_scan *scan, uint32_t position, struct slot_header *ret)
{
    uint32_t skip = position - scan->at, need;
    if (skip + SLOT_HEADER_SIZE > scan->have || get_u32(scan->buffer + skip) != SLOT_MAGIC)
        return false;
    struct span bytes = span_of(scan->buffer + skip, scan->have - skip);
    struct slot_header header;
    if (err_is(slot_meta_decode(bytes, scan->ref.file->header.seed, &header, &need))
        || header.slot_size == 0)
        return false;
    *ret = header;
    return true;
}

/* True: a live tenant that is older, to be told. */
static bool scan_weigh(struct slot_scan *scan, uint32_t position, const struct slot_header *header)
{
    bool is_self = scan->home_of && position == scan->offset && !(header->flags & SLOT_TARGET)
                   && identity_equals(scan->home_of, &header->identity);
    uint64_t birth = slot_scan_birth(header);
    if (is_self || (birth == scan->birth && position == scan->offset))
        return false;
    if (scan->youngest < birth)
        scan->youngest = birth;
    if (header->flags & SLOT_DELETED || birth > scan->birth)
        return false;
    scan->tenant = (struct place){.kind = PLACE_PACKED,
        .mount = scan->key.mount,
        .stream = scan->key.stream,
        .machine = scan->key.machine,
        .chunk = scan->key.number,
        .offset = position,
        .slot_size = header->slot_size,
        .birth = header->flags & SLOT_TARGET ? birth : 0};
    scan->tenant_header = *header;
    return true;
}

/* ---- windows ---- */

static int scan_window(struct slot_scan *scan, uint32_t from, uint32_t to)
{
    scan->at = from;
    scan->have = 0;
    scan->want = to - from + SLOT_META_MAX;
    return SCAN_READ;
}

static int scan_forward(struct slot_scan *scan);

static int scan_turn_back(struct slot_scan *scan)
{
    scan->is_backward = true;
    scan->next = scan->offset;
    if (scan->next <= CHUNK_HEADER_SIZE) {
        scan->is_over = true;
        return SCAN_UNWIND;
    }
    uint32_t from = scan->next - CHUNK_HEADER_SIZE > SLOT_SCAN_WINDOW
                        ? scan->next - SLOT_SCAN_WINDOW
                        : CHUNK_HEADER_SIZE;
    return scan_window(scan, from, scan->next);
}

static int scan_forward(struct slot_scan *scan)
{
    uint32_t end = scan->offset + scan->size, window_end = scan->at + SLOT_SCAN_WINDOW;
    while (scan->next < end && scan->next < window_end) {
        uint32_t position = scan->next;
        struct slot_header header;
        scan->next += SLOT_UNIT;
        if (header_at(scan, position, &header) && scan_weigh(scan, position, &header))
            return SCAN_UNWIND;
    }
    if (scan->next >= end)
        return scan_turn_back(scan);
    uint32_t rest = end - scan->next;
    return scan_window(
        scan, scan->next, scan->next + (rest < SLOT_SCAN_WINDOW ? rest : SLOT_SCAN_WINDOW));
}

static int scan_backward(struct slot_scan *scan)
{
    while (scan->next > scan->at) {
        struct slot_header header;
        scan->next -= SLOT_UNIT;
        if (!header_at(scan, scan->next, &header))
            continue;
        bool overlaps = scan->next + header.slot_size > scan->offset;
        bool is_told = overlaps && scan_weigh(scan, scan->next, &header);
        if (is_told || !(header.flags & SLOT_DELETED)) {
            scan->is_over = true;
            return SCAN_UNWIND;
        }
    }
    bool is_far = scan->offset - scan->next >= SLOT_SIZE_MAX;
    if (is_far || scan->next <= CHUNK_HEADER_SIZE) {
        scan->is_over = true;
        return SCAN_UNWIND;
    }
    uint32_t from = scan->next - CHUNK_HEADER_SIZE > SLOT_SCAN_WINDOW
                        ? scan->next - SLOT_SCAN_WINDOW
                        : CHUNK_HEADER_SIZE;
    return scan_window(scan, from, scan->next);
}

static int scan_have(struct machine *machine)
{
    struct slot_scan *scan = scan_of(machine);
    if (scan->op.result < 0)
        return machine_fail(machine, ERR_RESULT(scan->op.result));
    scan->have += (uint32_t)scan->op.result;
    if (scan->op.result > 0 && scan->have < scan->want)
        return SCAN_READ;
    if (scan->is_header_only) {
        scan->has_header = header_at(scan, scan->offset, &scan->header);
        return SCAN_UNWIND;
    }
    return scan->is_backward ? scan_backward(scan) : scan_forward(scan);
}

static int scan_unwind(struct machine *machine)
{
    struct slot_scan *scan = scan_of(machine);
    chunk_release(&scan->store->files, &scan->ref);
    scan->err = machine->err;
    return SCAN_DONE;
}

static int scan_done(struct machine *machine)
{
    struct slot_scan *scan = scan_of(machine);
    owner_close(&machine->owner);
    machine_arrive(scan->parent);
    return STAGE_END;
}

static const struct stage scan_stages[SCAN_STAGES] = {
    [SCAN_ACQUIRE] = {"acquire", scan_acquire, BIT(SCAN_READ), 5000},
    [SCAN_READ] = {"read", scan_read, BIT(SCAN_HAVE), 5000},
    [SCAN_HAVE] = {"have", scan_have, BIT(SCAN_READ), 5000},
    [SCAN_UNWIND] = {"unwind", scan_unwind, BIT(SCAN_DONE), 0},
    [SCAN_DONE] = {"done", scan_done, 0, 0},
};
static const struct machine_kind scan_kind = {
    "slot-scan", scan_stages, SCAN_STAGES, SCAN_UNWIND, SCAN_DONE};

static void scan_start(struct slot_scan *scan, struct machine *parent)
{
    scan->parent = parent;
    scan->err = ERR_OK;
    scan->have = 0;
    machine_start(&scan->machine, &scan_kind, &scan->store->io->run, parent->owner.direction);
}

void slot_scan_header(struct slot_scan *scan, struct store *store, const struct place *place,
    uint8_t *buffer, struct machine *parent)
{
    *scan = (struct slot_scan){.store = store,
        .key = chunk_key_of(place),
        .offset = place->offset,
        .size = place->slot_size,
        .at = place->offset,
        .want = SLOT_META_MAX,
        .buffer = buffer,
        .is_header_only = true};
    scan_start(scan, parent);
}

void slot_scan_tenants(struct slot_scan *scan, struct store *store, const struct place *place,
    uint64_t birth, const struct identity *home_of, uint8_t *buffer, struct machine *parent)
{
    uint32_t window = place->slot_size < SLOT_SCAN_WINDOW ? place->slot_size : SLOT_SCAN_WINDOW;
    *scan = (struct slot_scan){.store = store,
        .key = chunk_key_of(place),
        .offset = place->offset,
        .size = place->slot_size,
        .at = place->offset,
        .next = place->offset,
        .want = window + SLOT_META_MAX,
        .birth = birth,
        .home_of = home_of,
        .buffer = buffer};
    scan_start(scan, parent);
}

void slot_scan_next(struct slot_scan *scan, struct machine *parent)
{
    scan->tenant.kind = PLACE_NONE;
    if (scan->is_over) {
        machine_arrive(parent);
        return;
    }
    uint32_t from = scan->is_backward ? scan->at : scan->next;
    uint32_t end = scan->is_backward ? scan->next : scan->offset + scan->size;
    if (from > end)
        from = end;
    if (end - from > SLOT_SCAN_WINDOW)
        end = from + SLOT_SCAN_WINDOW;
    (void)scan_window(scan, from, end);
    scan_start(scan, parent);
}
