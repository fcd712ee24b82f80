#include "disk/space.h"

/* A treap: ordered by `slot`, a heap by `priority`, which is a hash of the place. Links are indexes
 * into the array; 0 is nobody. */
struct space_entry {
    struct space_slot slot;
    uint32_t priority;
    uint32_t left, right; /* unused: right is the next unused */
    bool is_used;
};

uint64_t space_memory_size(uint32_t capacity, uint32_t chunk_capacity)
{
    return ((uint64_t)capacity + 1) * sizeof(struct space_entry)
           + (uint64_t)chunk_capacity * sizeof(struct space_chunk);
}

err_t space_init(struct space *space, struct mem *mem, struct owner *owner, uint32_t capacity,
    uint32_t chunk_capacity)
{
    CHECK(capacity > 0 && capacity < UINT32_MAX && chunk_capacity > 0);
    void *memory;
    TRY(mem_take(mem, owner, space_memory_size(capacity, chunk_capacity), 0, &memory));
    struct space_entry *entries = memory;
    *space = (struct space){
        .entries = entries,
        .chunks = (struct space_chunk *)(void *)(entries + capacity + 1),
        .mem = mem,
        .capacity = capacity,
        .chunk_capacity = chunk_capacity,
        .unused = 1,
    };
    for (uint32_t i = 1; i < capacity; i++)
        entries[i].right = i + 1;
    return ERR_OK;
}

void space_fini(struct space *space)
{
    mem_give(space->mem, space->entries);
    *space = (struct space){0};
}

static bool comes_before(const struct space_slot *a, const struct space_slot *b)
{
    if (a->size != b->size)
        return a->size < b->size;
    if (a->chunk != b->chunk)
        return a->chunk < b->chunk;
    return a->offset < b->offset;
}

/* Multiplicative mixing; offsets are multiples of 64, so the high bits must come down. */
static uint32_t priority_of(const struct space_slot *slot)
{
    uint64_t mix = ((uint64_t)slot->chunk << 32 | slot->offset) * UINT64_C(0x9e3779b97f4a7c15);
    mix ^= mix >> 32;
    mix *= UINT64_C(0xd6e8feb86659fd93);
    return (uint32_t)(mix >> 32);
}

static void tree_insert(struct space *space, uint32_t added)
{
    struct space_entry *entries = space->entries, *entry = &entries[added];
    uint32_t *link = &space->root;
    while (*link != 0 && entries[*link].priority >= entry->priority)
        link = comes_before(&entry->slot, &entries[*link].slot) ? &entries[*link].left
                                                                : &entries[*link].right;
    uint32_t *lesser = &entry->left, *greater = &entry->right;
    for (uint32_t at = *link; at != 0;) { /* split what hangs here around the new one */
        if (comes_before(&entries[at].slot, &entry->slot)) {
            *lesser = at;
            lesser = &entries[at].right;
            at = *lesser;
        } else {
            *greater = at;
            greater = &entries[at].left;
            at = *greater;
        }
    }
    *lesser = *greater = 0;
    *link = added;
}

/* The link that points to `slot`, or to nobody where it would hang. */
static uint32_t *tree_find(struct space *space, const struct space_slot *slot)
{
    struct space_entry *entries = space->entries;
    uint32_t *link = &space->root;
    while (*link != 0) {
        if (comes_before(slot, &entries[*link].slot))
            link = &entries[*link].left;
        else if (comes_before(&entries[*link].slot, slot))
            link = &entries[*link].right;
        else
            break;
    }
    return link;
}

static void tree_remove(struct space *space, uint32_t *link)
{
    struct space_entry *entries = space->entries;
    uint32_t removed = *link, a = entries[removed].left, b = entries[removed].right;
    while (a != 0 && b != 0) { /* join its two subtrees */
        uint32_t top = entries[a].priority > entries[b].priority ? a : b;
        *link = top;
        link = top == a ? &entries[a].right : &entries[b].left;
        *(top == a ? &a : &b) = *link;
    }
    *link = a != 0 ? a : b;
    entries[removed].is_used = false;
    entries[removed].right = space->unused;
    space->unused = removed;
    space->count--;
}

/* Where `number` is or belongs among the chunks. */
static uint32_t chunk_place(const struct space *space, uint32_t number)
{
    uint32_t low = 0, high = space->chunk_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (space->chunks[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_chunk_at(const struct space *space, uint32_t place, uint32_t number)
{
    return place < space->chunk_count && space->chunks[place].number == number;
}

const struct space_chunk *space_chunk_find(const struct space *space, uint32_t chunk)
{
    uint32_t place = chunk_place(space, chunk);
    return is_chunk_at(space, place, chunk) ? &space->chunks[place] : NULL;
}

static struct space_chunk *chunk_at(const struct space *space, uint32_t number)
{
    uint32_t place = chunk_place(space, number);
    CHECK(is_chunk_at(space, place, number));
    return &space->chunks[place];
}

/* The chunk's summary, made if need be; NULL: no room. Numbers grow, so it is mostly the last. */
static struct space_chunk *chunk_add(struct space *space, uint32_t number)
{
    uint32_t place = chunk_place(space, number);
    struct space_chunk *chunk = &space->chunks[place];
    if (is_chunk_at(space, place, number))
        return chunk;
    if (space->chunk_count == space->chunk_capacity)
        return NULL;
    memmove(chunk + 1, chunk, (space->chunk_count - place) * sizeof *chunk);
    space->chunk_count++;
    *chunk = (struct space_chunk){.number = number};
    return chunk;
}

static void note_missing(struct space *space, const struct space_slot *slot)
{
    struct space_chunk *chunk = chunk_at(space, slot->chunk);
    space->dropped++;
    if (slot->size > chunk->missing)
        chunk->missing = slot->size;
}

static uint32_t *tree_least(struct space *space)
{
    uint32_t *link = &space->root;
    while (space->entries[*link].left != 0)
        link = &space->entries[*link].left;
    return link;
}

bool space_insert(struct space *space, const struct space_slot *slot)
{
    CHECK(slot->size > 0 && space_chunk_find(space, slot->chunk) != NULL);
    if (space->unused == 0) {
        uint32_t *least = tree_least(space);
        if (!comes_before(&space->entries[*least].slot, slot)) {
            note_missing(space, slot);
            return false;
        }
        note_missing(space, &space->entries[*least].slot);
        tree_remove(space, least);
    }
    uint32_t added = space->unused;
    space->unused = space->entries[added].right;
    space->entries[added] = (struct space_entry){
        .slot = *slot,
        .priority = priority_of(slot),
        .is_used = true,
    };
    tree_insert(space, added);
    space->count++;
    return true;
}

bool space_remove(struct space *space, const struct space_slot *slot)
{
    uint32_t *link = tree_find(space, slot);
    if (*link == 0)
        return false;
    tree_remove(space, link);
    return true;
}

static uint32_t size_to_allocate(uint32_t slot_size, uint32_t size)
{
    uint32_t rest = slot_size - size;
    return rest < SLOT_REMAINDER_MIN || rest < size / SPACE_WASTE_DIVISOR ? slot_size : size;
}

bool space_take(struct space *space, uint32_t size, struct space_slot *ret_slot, uint32_t *ret_size)
{
    uint32_t *best = NULL;
    for (uint32_t *link = &space->root; *link != 0;) {
        struct space_entry *entry = &space->entries[*link];
        bool fits = entry->slot.size >= size;
        if (fits)
            best = link;
        link = fits ? &entry->left : &entry->right;
    }
    if (!best)
        return false;
    *ret_slot = space->entries[*best].slot;
    *ret_size = size_to_allocate(ret_slot->size, size);
    tree_remove(space, best);
    return true;
}

static void forget_entries(struct space *space, uint32_t chunk)
{
    for (uint32_t i = 1; i <= space->capacity; i++) {
        struct space_entry *entry = &space->entries[i];
        if (entry->is_used && entry->slot.chunk == chunk)
            CHECK(space_remove(space, &entry->slot));
    }
}

void space_chunk_forget(struct space *space, uint32_t chunk)
{
    uint32_t place = chunk_place(space, chunk);
    if (!is_chunk_at(space, place, chunk))
        return;
    forget_entries(space, chunk);
    struct space_chunk *at = &space->chunks[place];
    space->chunk_count--;
    memmove(at, at + 1, (space->chunk_count - place) * sizeof *at);
}

bool space_chunk_enter(struct space *space, uint32_t chunk, const struct slotmap_summary *summary)
{
    struct space_chunk *known = chunk_add(space, chunk);
    if (!known)
        return false;
    forget_entries(space, chunk);
    *known = (struct space_chunk){
        .number = chunk,
        .free_bytes = (uint32_t)summary->free_bytes,
        .fresh_bytes = (uint32_t)summary->fresh_bytes,
        .missing = summary->largest_free,
    };
    return true;
}

bool space_chunk_scan(struct space *space, uint32_t chunk, const struct slotmap *map)
{
    struct slotmap_summary summary = {
        .free_bytes = (uint64_t)map->free_units * SLOT_UNIT,
        .fresh_bytes = slotmap_fresh_size(map),
    };
    if (!space_chunk_enter(space, chunk, &summary))
        return false;
    struct slotmap_slot slot = {0};
    for (uint32_t from = 0; slotmap_next_free(map, from, &slot); from = slot.offset + slot.size)
        (void)space_insert(space, &(struct space_slot){chunk, slot.offset, slot.size});
    return true;
}

static void insert_extent(struct space *space, uint32_t chunk, const struct slotmap_extent *extent)
{
    if (extent->size > 0)
        (void)space_insert(space, &(struct space_slot){chunk, extent->offset, extent->size});
}

static void remove_extent(struct space *space, uint32_t chunk, const struct slotmap_extent *extent)
{
    if (extent->size > 0)
        (void)space_remove(space, &(struct space_slot){chunk, extent->offset, extent->size});
}

static void bound_missing(struct space_chunk *chunk)
{
    if (chunk->missing > chunk->free_bytes)
        chunk->missing = chunk->free_bytes;
}

void space_allocated(
    struct space *space, const struct space_slot *taken, const struct slotmap_extent *rest)
{
    struct space_chunk *chunk = chunk_at(space, taken->chunk);
    CHECK(chunk->free_bytes >= taken->size && rest->size < taken->size);
    chunk->free_bytes -= taken->size - rest->size;
    insert_extent(space, taken->chunk, rest);
    bound_missing(chunk);
}

void space_filled(struct space *space, uint32_t chunk, uint32_t size)
{
    struct space_chunk *known = chunk_at(space, chunk);
    CHECK(known->fresh_bytes >= size);
    known->fresh_bytes -= size;
}

void space_released(
    struct space *space, uint32_t chunk, uint32_t size, const struct slotmap_release *release)
{
    struct space_chunk *known = chunk_at(space, chunk);
    uint32_t swallowed = release->before.size + release->after.size;
    CHECK(known->free_bytes >= swallowed);
    remove_extent(space, chunk, &release->before);
    remove_extent(space, chunk, &release->after);
    known->free_bytes = known->free_bytes - swallowed + release->merged.size;
    if (release->merged.size == 0)
        known->fresh_bytes += swallowed + size;
    insert_extent(space, chunk, &release->merged);
    bound_missing(known);
}

bool space_pick_chunk_to_scan(
    const struct space *space, uint32_t size, uint32_t free_min, uint32_t *ret_chunk)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < space->chunk_count; i++) {
        const struct space_chunk *chunk = &space->chunks[i];
        if (chunk->missing < size || chunk->free_bytes < free_min || chunk->free_bytes <= most)
            continue;
        most = chunk->free_bytes;
        *ret_chunk = chunk->number;
    }
    return most > 0;
}

bool space_pick_chunk_to_fill(
    const struct space *space, uint32_t size, uint32_t fresh_min, uint32_t *ret_chunk)
{
    uint32_t most = 0, least = size > fresh_min ? size : fresh_min;
    for (uint32_t i = 0; i < space->chunk_count; i++) {
        const struct space_chunk *chunk = &space->chunks[i];
        if (chunk->fresh_bytes < least || chunk->fresh_bytes <= most)
            continue;
        most = chunk->fresh_bytes;
        *ret_chunk = chunk->number;
    }
    return most > 0;
}
