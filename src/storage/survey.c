#include "storage/survey.h"

#include "storage/internal.h"

err_t survey_init(
    struct survey *survey, struct storage *storage, struct mem *mem, struct owner *owner)
{
    void *block;
    *survey = (struct survey){.storage = storage};
    list_init(&survey->waiters);
    TRY(mem_take(mem, owner, SURVEY_ROWS_MAX * sizeof *survey->rows, 0, &block));
    survey->rows = block;
    return ERR_OK;
}

void survey_fini(struct survey *survey, struct mem *mem)
{
    mem_give(mem, survey->rows);
    survey->rows = NULL;
}

static struct survey_row *find_row(
    const struct survey *survey, uint32_t machine, uint8_t mount, uint8_t stream)
{
    for (uint32_t i = 0; i < survey->count; i++) {
        struct survey_row *row = &survey->rows[i];
        if (row->machine == machine && row->mount == mount && row->stream == stream)
            return row;
    }
    return NULL;
}

const struct survey_row *survey_find(
    const struct survey *survey, uint32_t machine, uint8_t mount, uint8_t stream)
{
    return find_row(survey, machine, mount, stream);
}

/* ---- at each loop ---- */

static void add_row(struct survey *survey, const struct survey_row *row)
{
    if (survey->count < SURVEY_ROWS_MAX)
        survey->rows[survey->count++] = *row;
    else
        survey->is_cut = true;
}

/* One of the streams follows a source, others may have slots in its chunks. */
static void merge_row(struct survey_row *to, const struct survey_row *row)
{
    if (position_compare(row->incarnation, row->lsn, to->incarnation, to->lsn) > 0) {
        to->incarnation = row->incarnation;
        to->lsn = row->lsn;
    }
    if (row->watermark > to->watermark)
        to->watermark = row->watermark;
    if (row->chunk > to->chunk)
        to->chunk = row->chunk;
}

static uint32_t highest_chunk(const struct stream *stream, uint16_t source)
{
    const struct chunk_table *table = &stream->chunks;
    uint32_t number = 0;
    for (uint32_t i = 0; i < table->count; i++)
        if (table->entries[i].source == source && table->entries[i].number > number)
            number = table->entries[i].number;
    return number;
}

static void add_source(struct survey *survey, const struct stream *stream, uint16_t index)
{
    const struct source *source = &stream->sources.all[index];
    struct survey_row row = {.machine = source->key.machine,
        .mount = source->key.mount,
        .stream = source->key.stream,
        .chunk = highest_chunk(stream, index),
        .incarnation = source->incarnation,
        .lsn = source->lsn,
        .watermark = source->coverage.watermark};
    struct survey_row *known =
        index == 0 ? NULL : find_row(survey, row.machine, row.mount, row.stream);
    if (known)
        merge_row(known, &row);
    else
        add_row(survey, &row);
}

static void visit_loop(struct survey *survey, const struct storage_loop *loop)
{
    const struct storage_config *config = &survey->storage->config;
    for (uint32_t m = 0; loop->is_store_open && m < config->mount_count; m++) {
        const struct store_mount *mount = &loop->store.mounts[config->mount[m].index];
        for (unsigned k = 0; k < mount->stream_count; k++)
            if (mount->streams[k] && mount->streams[k]->state == STREAM_OPEN)
                for (uint16_t i = 0; i < mount->streams[k]->sources.count; i++)
                    add_source(survey, mount->streams[k], i);
    }
}

/* ---- at home ---- */

static void begin(struct survey *survey);

static void tell_waiters(struct survey *survey)
{
    LIST_EACH_SAFE (node, &survey->waiters) {
        struct survey_waiter *waiter = CONTAINER_OF(node, struct survey_waiter, link);
        if (waiter->number > survey->number)
            continue;
        list_remove(&waiter->link);
        waiter->surveyed(waiter);
    }
}

static void come_home(struct survey *survey)
{
    survey->is_out = false;
    tell_waiters(survey);
    if (survey->is_wanted && !list_is_empty(&survey->waiters))
        begin(survey);
}

static void travel(struct io *here, struct io_message *message)
{
    struct survey *survey = CONTAINER_OF(message, struct survey, message);
    struct storage *storage = survey->storage;
    if (survey->at == storage->loop_count) {
        come_home(survey);
        return;
    }
    visit_loop(survey, &storage->loops[survey->at++]);
    uint16_t next = survey->at == storage->loop_count ? 0 : survey->at;
    io_post(here, storage->loops[next].io, message);
}

static void begin(struct survey *survey)
{
    struct io *io = survey->storage->loops[0].io;
    survey->is_wanted = survey->is_cut = false;
    survey->is_out = true;
    survey->at = 0;
    survey->count = 0;
    survey->number++;
    survey->message.deliver = travel;
    io_post(io, io, &survey->message);
}

void survey_wait(struct survey *survey, struct survey_waiter *waiter)
{
    waiter->number = survey->number + 1;
    list_push_back(&survey->waiters, &waiter->link);
    if (survey->is_out)
        survey->is_wanted = true;
    else
        begin(survey);
}

void survey_leave(struct survey_waiter *waiter)
{
    if (list_is_linked(&waiter->link))
        list_remove(&waiter->link);
}
