/* Digests of the member beside those that are here: both come in the order of their units. */
#include "storage/reconcile_parts.h"

/* The first unit from `from` on that has files here. */
static bool next_here(
    struct reconcile *visit, uint64_t from, uint64_t *ret_unit, struct digest *ret_digest)
{
    const struct source *source = stream_source_find(visit->stream, &visit->key);
    if (!source)
        return false;
    uint16_t index = source_index(&visit->stream->sources, source);
    const struct chunk_entry *entry;
    while (!unit_is_bucket(from)
           && (entry = chunk_table_next(&visit->stream->chunks, index, (uint32_t)from)) != NULL) {
        *ret_unit = entry->number;
        *ret_digest = entry->digest;
        if (entry->digest.count != 0 || entry->digest.sum != 0)
            return true;
        from = entry->number + UINT64_C(1);
    }
    uint64_t bucket = unit_is_bucket(from) ? from - UNIT_BUCKET_FIRST : 0;
    for (; bucket < UNIT_BUCKETS; bucket++) {
        *ret_unit = UNIT_BUCKET_FIRST + bucket;
        *ret_digest = source->singles[bucket];
        if (ret_digest->count != 0 || ret_digest->sum != 0)
            return true;
    }
    return false;
}

/* The next one on the member's page. A page that is not in order ends there. */
static bool next_there(
    struct reconcile *visit, uint64_t from, uint64_t *ret_unit, struct digest *ret_digest)
{
    while (visit->page_at < visit->page_count) {
        struct unit_digest digest;
        struct reader r = {.data = visit->link.data, .size = visit->link.size};
        r.at = (size_t)visit->page_at * UNIT_DIGEST_SIZE;
        if (err_is(unit_digest_decode(&r, &digest)))
            return false;
        *ret_unit = digest.unit;
        *ret_digest = (struct digest){digest.digest, digest.files};
        if (digest.unit >= from)
            return true;
        visit->page_at++;
    }
    return false;
}

static void count_unit(struct reconcile *visit, uint64_t unit)
{
    if (unit < visit->counted)
        return;
    visit->counted = unit + 1;
    visit->sums.units++;
}

bool reconcile_next_difference(struct reconcile *visit)
{
    for (;;) {
        uint64_t here = UINT64_MAX, there = UINT64_MAX;
        struct digest ours = {0}, theirs = {0};
        bool is_here = next_here(visit, visit->from, &here, &ours);
        bool is_there = next_there(visit, visit->from, &there, &theirs);
        uint64_t unit = is_here && (!is_there || here <= there) ? here : there;
        bool is_beyond = visit->page_next != 0 && unit >= visit->page_next && !is_there;
        if ((!is_here && !is_there) || is_beyond) {
            visit->from = visit->page_next;
            return false;
        }
        if (here != unit)
            ours = (struct digest){0};
        if (!is_there || there != unit)
            theirs = (struct digest){0};
        count_unit(visit, unit);
        bool was_gone_through = unit == visit->unit && visit->walks > 0;
        visit->unit = unit;
        visit->theirs_now = theirs;
        bool is_suspect = scrub_is_suspect(&visit->loop->scrub, &visit->key, unit);
        if (is_suspect || !digest_equals(&ours, &theirs))
            return true;
        if (!was_gone_through)
            reconcile_note_done(visit, theirs.count);
        visit->from = unit + 1;
    }
}
