/* What is drawn. */
#include "sim/store_swarm_parts.h"

enum { FILES_MAX = 64, LARGE_FILES_MAX = 2 };

static uint32_t round_up(uint32_t size, uint32_t unit)
{
    return (size + unit - 1) / unit * unit;
}

static void draw_sizes(struct swarm *swarm, struct store_lab_options *options)
{
    static const uint32_t singles[] = {1024, 4096, 8192, 12000, 16384, 24576};
    static const uint32_t inlines[] = {0, 64, 1024, 4096, UINT32_MAX};
    struct store_config *store = &options->store;
    bool has_blocks = swarm_chance(swarm, 8); /* slots with block tables */
    store->single_min = has_blocks ? 90000 : singles[swarm_below(swarm, ARRAY_LEN(singles))];
    if (swarm->has_large && store->single_min < 8192)
        store->single_min = 8192; /* zeros of a large file may have to be written in such pieces */
    store->inline_max = inlines[swarm_below(swarm, ARRAY_LEN(inlines))];
    if (store->inline_max > store->single_min)
        store->inline_max = store->single_min;
    store->piece_size = has_blocks ? 65536 : swarm_chance(swarm, 50) ? 4096 : 16384;
    uint32_t chunk = swarm_chance(swarm, 60) ? 64 : 64 + 64 * (uint32_t)swarm_below(swarm, 4);
    if (chunk * 1024 < 3 * store->single_min)
        chunk = round_up(3 * store->single_min, 65536) / 1024;
    store->chunk_size = chunk * 1024;
    store->log_buffer_size =
        round_up(store->single_min + 8192 + (uint32_t)swarm_below(swarm, 16384), 4096);
    store->log_segment_size = store->log_buffer_size * (1 + (uint32_t)swarm_below(swarm, 3)) + 4096;
    store->log_segment_count_max = 3 + (uint32_t)swarm_below(swarm, 5);
    store->checkpoint_bytes = store->log_segment_size * (1 + swarm_below(swarm, 4));
    store->free_slot_count = 4 + (uint32_t)swarm_below(swarm, 60);
    store->chunk_file_count = 5u * options->stream_count + 6 + (uint32_t)swarm_below(swarm, 20);
    options->chunk_count_max = 256;
    swarm->size_max = has_blocks ? 200000 : 3 * store->single_min;
    if (swarm_chance(swarm, 10))
        swarm->size_max = 150000;
}

void swarm_draw_options(struct swarm *swarm, struct store_lab_options *options)
{
    store_lab_options_small(options);
    sim_disk_options_draw(&options->disk, &swarm->prng);
    options->loop_count = swarm_chance(swarm, 25) ? 2 : 1;
    options->stream_count =
        (uint8_t)(options->loop_count + (swarm_chance(swarm, 25) ? swarm_below(swarm, 2) : 0));
    draw_sizes(swarm, options);
    swarm->is_small = swarm_chance(swarm, 15);
    options->disk.capacity = 256 << 20;
    if (swarm->is_small) {
        uint64_t logs = (uint64_t)options->stream_count * (LOG_SEGMENTS_MIN + 1)
                        * options->store.log_segment_size;
        uint64_t chunks = (2u * options->stream_count + swarm_below(swarm, 6))
                          * (options->store.chunk_size + 4 * SLOTMAP_IMAGE_ALIGN);
        options->disk.capacity = (1 << 20) + (64 << 10) + logs + chunks;
        options->reserve_bytes = 128 << 10;
    }
    if (swarm->has_large) {
        swarm->is_small = false;
        options->disk.capacity = 4 << 28;
        options->reserve_bytes = 0;
        options->store.piece_size = swarm_chance(swarm, 50) ? 65536 : 262144;
        if (swarm_chance(swarm, 70)) { /* a whole download fits between two writes of a change */
            options->disk.read_ns = 1000;
            options->disk.write_ns = 3000000;
        }
    }
    swarm->fault = swarm_chance(swarm, 45)
                       ? (enum store_swarm_fault)(1 + swarm_below(swarm, SWARM_FAULT_COUNT - 1))
                       : SWARM_FAULT_NONE;
    swarm->walks_often = swarm_chance(swarm, 5) || swarm->options->trace;
    static const uint8_t widths[] = {1, 2, 4, 6};
    swarm->in_flight_max = widths[swarm_below(swarm, ARRAY_LEN(widths))];
    if (swarm->has_large)
        swarm->in_flight_max = IN_FLIGHT_MAX;
}

/* Sizes around every edge that there is, and small ones most of the time. */
uint32_t swarm_draw_size(struct swarm *swarm)
{
    const struct store_config *config = &swarm->lab.options.store;
    uint32_t edges[] = {0, 1, config->inline_max, config->single_min, 4096, 65536,
        config->piece_size, config->chunk_size / 2};
    uint32_t size;
    if (swarm->has_large && swarm_chance(swarm, 20)) /* a single file, which may grow */
        return config->single_min + (uint32_t)swarm_below(swarm, 4096);
    switch (swarm_below(swarm, 8)) {
    case 0:
        size = edges[swarm_below(swarm, ARRAY_LEN(edges))] + (uint32_t)swarm_below(swarm, 3);
        size = size > 0 ? size - 1 : 0;
        break;
    case 1:
        size = (uint32_t)swarm_below(swarm, swarm->size_max);
        break;
    case 2:
    case 3:
        size = (uint32_t)swarm_below(swarm, config->single_min);
        break;
    default:
        size = (uint32_t)swarm_below(swarm, 600);
    }
    return size <= swarm->size_max ? size : swarm->size_max;
}

struct model_content *swarm_draw_content(struct swarm *swarm, uint32_t size)
{
    struct model_content *content = model_content_new(NULL, size);
    uint64_t mark = prng_next(&swarm->prng);
    for (uint32_t i = 0; i < size; i += 8, mark = mark * UINT64_C(6364136223846793005) + 99)
        memcpy(content->data + i, &mark, size - i < 8 ? size - i : 8);
    return content;
}

static uint64_t draw_large_size(struct swarm *swarm)
{
    return LARGE_SIZE - LARGE_TAIL + swarm_below(swarm, 2 * LARGE_TAIL);
}

struct model_file *swarm_draw_file(struct swarm *swarm, bool wants_changeable)
{
    struct model_file *files[FILES_MAX];
    unsigned count = 0;
    LIST_EACH (node, &swarm->model.files) {
        struct model_file *file = CONTAINER_OF(node, struct model_file, link);
        unsigned pending = 0;
        LIST_EACH (other, &file->pending)
            pending++;
        if (wants_changeable && pending == MODEL_PENDING_MAX)
            continue;
        if (count < FILES_MAX)
            files[count++] = file;
        else if (swarm_chance(swarm, 50))
            files[swarm_below(swarm, FILES_MAX)] = file;
    }
    if (count == 0)
        return NULL;
    for (unsigned i = 0; swarm->has_large && i < count; i++)
        if (swarm_is_large(files[i]) && swarm_chance(swarm, 60))
            return files[i];
    /* the same few again and again, so that operations meet */
    unsigned last = count > 3 && swarm_chance(swarm, 40) ? 3 : count;
    return files[count - 1 - swarm_below(swarm, last)];
}

/* Mostly around the border of the groups: a whole download takes long. */
void swarm_draw_range(struct swarm *swarm, const struct model_file *file, struct find *find)
{
    uint64_t size = file->current.content ? swarm_size_of(file) : 100;
    if (swarm_is_large(file) && swarm_chance(swarm, 95)) {
        find->offset = size - swarm_below(swarm, 2 * LARGE_TAIL);
        find->size = swarm_below(swarm, 2 * LARGE_TAIL);
    } else if (swarm_chance(swarm, 40)) {
        find->offset = swarm_below(swarm, size + 2);
        find->size = swarm_below(swarm, size + 10);
    }
}

struct version swarm_draw_if_version(struct swarm *swarm, const struct model_file *file)
{
    if (!swarm_chance(swarm, 15))
        return (struct version){0};
    uint64_t counter = file->current.version + (swarm_chance(swarm, 30) ? 1 : 0);
    return (struct version){counter ? counter : 1, swarm->lab.options.store.machine};
}

static uint32_t draw_small_change(
    struct swarm *swarm, const struct model_file *file, struct model_change *change)
{
    uint64_t size = swarm_size_of(file);
    change->mode = (uint8_t)(1 + swarm_below(swarm, 4));
    uint32_t body = swarm_draw_size(swarm);
    if (change->mode == MODIFY_APPEND && size > swarm->size_max)
        body = (uint32_t)swarm_below(swarm, 100);
    if (change->mode == MODIFY_TRUNCATE) {
        change->offset =
            swarm_chance(swarm, 70) ? swarm_below(swarm, size + 1) : swarm_draw_size(swarm);
        body = 0;
    } else if (change->mode == MODIFY_WRITE) {
        change->offset = swarm_below(swarm, size + 1) + (swarm_chance(swarm, 3) ? 1 : 0);
    }
    return body;
}

/* It is a single file already, so that it grows by a hole. */
static bool grows_large(struct swarm *swarm, const struct model_file *file)
{
    unsigned count = 0;
    if (!swarm->has_large || swarm_size_of(file) <= swarm->lab.options.store.single_min)
        return false;
    LIST_EACH (node, &swarm->model.files)
        count += swarm_is_large(CONTAINER_OF(node, struct model_file, link));
    return count < LARGE_FILES_MAX;
}

/* In place, around the border of the groups, most of the time; else the file is made small again. */
static uint32_t draw_large_change(
    struct swarm *swarm, const struct model_file *file, struct model_change *change)
{
    unsigned choice = (unsigned)swarm_below(swarm, 100);
    uint32_t body = (uint32_t)swarm_below(swarm, swarm->lab.options.store.single_min);
    if (!swarm_is_large(file) || choice < 15) {
        change->mode = MODIFY_TRUNCATE;
        change->offset = draw_large_size(swarm);
        return 0;
    }
    if (choice >= 95)
        return draw_small_change(swarm, file, change);
    change->mode = choice < 75 ? MODIFY_WRITE : MODIFY_APPEND;
    if (change->mode == MODIFY_WRITE)
        change->offset = swarm_size_of(file) - swarm_below(swarm, 2 * LARGE_TAIL);
    return body;
}

uint32_t swarm_draw_change(
    struct swarm *swarm, const struct model_file *file, struct model_change *change)
{
    return grows_large(swarm, file) || swarm_is_large(file)
               ? draw_large_change(swarm, file, change)
               : draw_small_change(swarm, file, change);
}
