/* What a cluster is like, drawn or plain. */
#include "base/text.h"
#include "base/units.h"
#include "sim/cluster.h"

static uint32_t pick(struct prng *prng, const uint32_t *from, size_t count)
{
    return from[prng_below(prng, count)];
}
#define PICK(prng, ...)                           \
    pick((prng), (const uint32_t[]){__VA_ARGS__}, \
        sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void draw_log(struct cluster_shape *shape, struct prng *prng)
{
    uint32_t least = shape->single_min + 64 * 1024;
    shape->log_buffer_size = (uint32_t)round_up(least + prng_below(prng, 16384), 4096);
    shape->log_segment_size = shape->log_buffer_size + 4096 * (1 + (uint32_t)prng_below(prng, 12));
    shape->log_segments = 3 + (uint32_t)prng_below(prng, 4);
    uint32_t budget = shape->log_segment_size * (shape->log_segments - 1);
    shape->checkpoint_bytes = 65536 + (uint32_t)prng_below(prng, budget - 65536 + 1);
}

static void draw_shape(struct cluster_shape *shape, uint32_t chunk_size, uint32_t single_min,
    bool is_large, struct prng *prng)
{
    shape->mounts = (uint8_t)(is_large ? 1 : PICK(prng, 1, 1, 2, 2, 3));
    shape->loops = (uint8_t)(is_large ? 1 : PICK(prng, 1, 1, 2));
    shape->streams = (uint8_t)(shape->loops == 2 ? 2 : is_large ? 1 : PICK(prng, 1, 1, 2));
    shape->chunk_size = chunk_size;
    shape->single_min = single_min;
    shape->inline_max = PICK(prng, 0, 256, 1024, 4096, 16384);
    if (shape->inline_max > single_min)
        shape->inline_max = single_min;
    shape->piece_size = 65536;
    shape->free_slots = PICK(prng, 16, 40, 200);
    shape->request_max = PICK(prng, 6, 12, 24);
    shape->balance = (uint32_t)prng_below(prng, 3);
    draw_log(shape, prng);
    sim_disk_options_draw(&shape->disk, prng);
    shape->disk.capacity = 256 << 20;
}

void cluster_options_draw(struct cluster_options *options, struct prng *prng)
{
    *options = (struct cluster_options){0};
    options->trackers = (uint8_t)PICK(prng, 1, 2, 2, 3);
    options->storages = (uint8_t)PICK(prng, 1, 2, 2, 2, 3, 3, 3, 4);
    options->clients = (uint8_t)PICK(prng, 1, 1, 2);
    options->has_secrets = prng_below(prng, 10) == 0;
    options->timeout_ns = PICK(prng, 6, 8, 20) * NS_PER_S;
    options->retries = PICK(prng, 1, 3, 6);
    bool has_blocks = prng_below(prng, 20) == 0; /* slots with a table of blocks */
    uint32_t single_min = has_blocks ? 90000 : PICK(prng, 4096, 4096, 6000, 8192, 16384);
    uint32_t chunk_size = has_blocks ? 320 << 10 : (uint32_t)PICK(prng, 64, 64, 96, 192) << 10;
    options->contents_max = has_blocks                 ? 200000
                            : prng_below(prng, 8) == 0 ? 150000
                                                       : 3 * single_min;
    bool is_large = options->storages == 4 || has_blocks; /* keep the sum small */
    bool are_alike = prng_below(prng, 2) == 0;
    for (unsigned i = 0; i < options->storages; i++) {
        if (i > 0 && are_alike)
            options->shapes[i] = options->shapes[0];
        else
            draw_shape(&options->shapes[i], chunk_size, single_min, is_large, prng);
    }
}

void cluster_options_plain(struct cluster_options *options, uint8_t storages)
{
    CHECK(storages <= CLUSTER_STORAGES_MAX);
    *options = (struct cluster_options){.trackers = 2,
        .storages = storages,
        .clients = 1,
        .timeout_ns = 8 * NS_PER_S,
        .retries = 3,
        .contents_max = 24 << 10};
    for (unsigned i = 0; i < storages; i++)
        options->shapes[i] = (struct cluster_shape){.mounts = 2,
            .loops = 1,
            .streams = 1,
            .chunk_size = 64 << 10,
            .single_min = 8 << 10,
            .inline_max = 1 << 10,
            .piece_size = 64 << 10,
            .log_buffer_size = 72 << 10,
            .log_segment_size = 96 << 10,
            .log_segments = 4,
            .checkpoint_bytes = 128 << 10,
            .free_slots = 40,
            .request_max = 12,
            .disk = {.capacity = 256 << 20,
                .direct_alignment = 512,
                .read_ns = 50000,
                .write_ns = 4000,
                .sync_ns = 200000,
                .meta_ns = 10000}};
}

const char *cluster_options_text(const struct cluster_options *options, char *data, size_t size)
{
    struct text text;
    text_init(&text, data, size);
    text_add(&text, "%u trackers, %u clients%s, timeout %llu s, contents up to %u;",
        options->trackers, options->clients, options->has_secrets ? " with secrets" : "",
        (unsigned long long)(options->timeout_ns / NS_PER_S), options->contents_max);
    for (unsigned i = 0; i < options->storages; i++) {
        const struct cluster_shape *shape = &options->shapes[i];
        text_add(&text,
            " m%03u: %u mounts, %u loops, %u streams, chunk %u, single %u, inline %u, log %u x %u;",
            i + 1, shape->mounts, shape->loops, shape->streams, shape->chunk_size,
            shape->single_min, shape->inline_max, shape->log_segments, shape->log_segment_size);
    }
    return data;
}
