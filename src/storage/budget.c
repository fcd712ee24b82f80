#include "storage/budget.h"

#include "base/pool.h"
#include "base/units.h"
#include "disk/checkpoint.h"
#include "disk/maker.h"
#include "disk/mount.h"
#include "net/connection.h"
#include "sight/sight.h"
#include "storage/fdfs_door.h"
#include "storage/follow.h"
#include "storage/http_door.h"
#include "storage/metrics.h"
#include "storage/native.h"
#include "storage/pull.h"
#include "storage/push.h"
#include "storage/reconcile.h"
#include "storage/scrub.h"
#include "storage/store.h"
#include "storage/survey.h"

static const char *const descriptors_names[] = {
#define X(name, text) text,
    STORAGE_DESCRIPTORS(X)
#undef X
};
static const char *const memories_names[] = {
#define X(name, text) text,
    STORAGE_MEMORIES(X)
#undef X
};

const char *storage_descriptors_name(enum storage_descriptors holder)
{
    return descriptors_names[holder];
}

const char *storage_memories_name(enum storage_memories holder)
{
    return memories_names[holder];
}

enum { PEERS_LEAST = 2 }; /* mirrors that there is room for as long as anything fits */

static uint64_t sum_of(const uint64_t *terms, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += terms[i];
    return sum;
}

/* ---- descriptors ---- */

static uint32_t intakes_of_loop(const struct storage_budget *budget)
{
    return budget->peers_max > 0 ? budget->intake_max + STORE_EVICTIONS : 0;
}

static uint32_t least_chunk_files(const struct storage_budget *budget, uint32_t requests)
{
    uint32_t streams = (budget->stream_count + budget->loops - 1) / budget->loops;
    return STORAGE_STREAM_CHUNK_FILES * streams
           + STORAGE_REQUEST_CHUNK_FILES * (requests + intakes_of_loop(budget));
}

static void sum_descriptors(
    const struct storage_budget_request *request, struct storage_budget *budget)
{
    uint64_t loops = budget->loops, mounts = request->config->mount_count;
    uint64_t *terms = budget->descriptors;
    terms[STORAGE_DESCRIPTORS_BASE] = request->reserved;
    terms[STORAGE_DESCRIPTORS_RINGS] = 2 * loops;
    terms[STORAGE_DESCRIPTORS_LISTENERS] = STORAGE_LISTENER_DESCRIPTORS * loops;
    terms[STORAGE_DESCRIPTORS_CONNECTIONS] = loops * budget->connection_max;
    bool has_http = budget->http_connection_max > 0;
    bool has_fastdfs = budget->fastdfs_connection_max > 0;
    terms[STORAGE_DESCRIPTORS_FASTDFS] =
        loops * (budget->fastdfs_connection_max + (has_fastdfs ? STORAGE_LISTENER_DESCRIPTORS : 0));
    terms[STORAGE_DESCRIPTORS_HTTP] =
        loops
        * (budget->http_connection_max + http_door_connections(request->config)
            + (has_http ? STORAGE_LISTENER_DESCRIPTORS : 0));
    terms[STORAGE_DESCRIPTORS_TRACKERS] = request->config->tracker_count;
    terms[STORAGE_DESCRIPTORS_PULLS] =
        budget->peers_max > 0 ? loops * budget->pull_max * (1 + STORAGE_REQUEST_DESCRIPTORS) + 2
                              : 0;
    terms[STORAGE_DESCRIPTORS_MEMBERS] = budget->member_max + 1;
    terms[STORAGE_DESCRIPTORS_MOUNTS] = (2 + loops) * mounts;
    terms[STORAGE_DESCRIPTORS_STREAMS] =
        (uint64_t)STORAGE_STREAM_DESCRIPTORS * budget->stream_count;
    terms[STORAGE_DESCRIPTORS_CHUNK_FILES] = loops * budget->chunk_files;
    terms[STORAGE_DESCRIPTORS_SINGLE_FILES] =
        loops * STORAGE_REQUEST_DESCRIPTORS * budget->request_max;
    terms[STORAGE_DESCRIPTORS_MIRRORS] =
        (uint64_t)STORAGE_MIRROR_DESCRIPTORS * budget->stream_count * budget->peers_max
        + loops * STORAGE_INTAKE_DESCRIPTORS * intakes_of_loop(budget);
    terms[STORAGE_DESCRIPTORS_ADMIN] = STORAGE_ADMIN_DESCRIPTORS;
    budget->descriptor_sum = sum_of(terms, STORAGE_DESCRIPTORS_COUNT);
}

static bool fits(const struct storage_budget *budget)
{
    return budget->descriptor_sum <= budget->descriptor_limit;
}

static uint32_t scaled(uint64_t value, unsigned shift, uint32_t least)
{
    uint64_t result = value >> shift;
    return result > least ? (uint32_t)result : least;
}

/* What is left goes to connections: they are what people run out of first. */
static void give_rest_to_connections(
    const struct storage_budget_request *request, struct storage_budget *budget)
{
    uint64_t rest = (budget->descriptor_limit - budget->descriptor_sum) / budget->loops;
    uint64_t wanted = request->config->connection_max - budget->connection_max;
    budget->connection_max += (uint32_t)(rest < wanted ? rest : wanted);
    sum_descriptors(request, budget);
}

/* Mirrors are given up last: a group of three goes on where hardly a file may be open. */
static bool shrink_to_fit(const struct storage_budget_request *request,
    struct storage_budget *budget, uint32_t peers_least)
{
    const struct storage_config *config = request->config;
    for (unsigned shift = 0; shift < 16; shift++) {
        budget->connection_max = scaled(config->connection_max, shift, STORAGE_CONNECTIONS_MIN);
        if (config->fastdfs_address.family != 0)
            budget->fastdfs_connection_max =
                scaled(config->fastdfs_connection_max, shift, STORAGE_CONNECTIONS_MIN);
        if (config->http_address.family != 0)
            budget->http_connection_max =
                scaled(config->http_connection_max, shift, STORAGE_CONNECTIONS_MIN);
        budget->request_max = scaled(config->request_max, shift, STORAGE_REQUESTS_MIN);
        budget->peers_max = scaled(config->peers_max, shift, peers_least);
        budget->intake_max = scaled(FOLLOW_INTAKES, shift, FOLLOW_INTAKES_LEAST);
        budget->pull_max = scaled(PULL_SLOTS, shift, 1);
        budget->chunk_files =
            scaled(config->chunk_files, shift, least_chunk_files(budget, budget->request_max));
        budget->member_max = scaled(MEMBERS_MAX, shift, peers_least > 0 ? peers_least : 1);
        budget->is_shrunk = shift > 0;
        sum_descriptors(request, budget);
        if (!fits(budget))
            continue;
        give_rest_to_connections(request, budget);
        return true;
    }
    return false;
}

static void set_streams(const struct storage_budget_request *request, struct storage_budget *budget)
{
    uint64_t wanted = request->config->streams;
    budget->streams_at_format = wanted > 0 ? (uint32_t)wanted : budget->loops;
    budget->stream_count = request->stream_count > 0
                               ? request->stream_count
                               : budget->streams_at_format * request->config->mount_count;
}

/* ---- memory ---- */

static uint64_t stream_bytes(const struct storage_config *config)
{
    uint32_t chunk_size = (uint32_t)config->chunk_size;
    /* buffers, and the ring of what was committed last */
    uint64_t log = (LOG_BUFFER_COUNT + 1) * config->log_buffer_size + LOG_PAGE + MIB;
    uint64_t maps = STORAGE_STREAM_CHUNK_FILES * (uint64_t)slotmap_memory_size(chunk_size)
                    + (SLOTMAP_COPIES + 1) * (uint64_t)slotmap_image_size(chunk_size);
    uint64_t space = 2 * space_memory_size((uint32_t)config->free_slots, 1);
    space += SOURCE_COUNT_DEFAULT * (sizeof(struct source) + SOURCE_IMAGE_SIZE);
    return sizeof(struct stream) + sizeof(struct maker) + sizeof(struct checkpoint) + MAKER_WINDOW
           + LOG_PAGE + log + maps + space;
}

static uint64_t work_bytes(const struct storage_config *config)
{
    struct store_config store = {
        .single_min = (uint32_t)config->single_min, .piece_size = (uint32_t)config->piece_size};
    return pool_bytes(store_work_size(&store), config->work_buffers, 4096)
           + pool_bytes(store_modify_size(&store), config->modify_buffers, 4096)
           + pool_bytes(STORE_SMALL_SIZE, config->small_buffers, 64);
}

static uint32_t streams_of_loop(const struct storage_budget *budget)
{
    return (budget->stream_count + budget->loops - 1) / budget->loops;
}

uint32_t push_connections_max(const struct storage_budget *budget)
{
    return streams_of_loop(budget) * budget->peers_max;
}

static uint64_t mirror_bytes(
    const struct storage_config *config, const struct storage_budget *budget)
{
    struct store_config store = {.log_buffer_size = (uint32_t)config->log_buffer_size,
        .inline_max = (uint32_t)config->inline_max,
        .single_min = (uint32_t)config->single_min};
    uint64_t received = follows_bytes(&store, budget->intake_max)
                        + pool_bytes(sizeof(struct intake), STORE_EVICTIONS, 0);
    if (budget->peers_max == 0)
        return received;
    return received
           + pushes_bytes(
               &store, streams_of_loop(budget), budget->peers_max, (uint32_t)config->push_buffers);
}

static void sum_memory(const struct storage_budget_request *request, struct storage_budget *budget)
{
    const struct storage_config *config = request->config;
    uint64_t loops = budget->loops, *terms = budget->memory;
    struct store_config store = {
        .single_min = (uint32_t)config->single_min, .piece_size = (uint32_t)config->piece_size};
    uint32_t connections = budget->connection_max + budget->http_connection_max
                           + http_door_connections(config) + budget->fastdfs_connection_max
                           + push_connections_max(budget);
    size_t small = sizeof(struct net_buffer) + NET_SMALL_SIZE;
    size_t large = sizeof(struct net_buffer) + NET_LARGE_SIZE;
    terms[STORAGE_MEMORIES_LOOPS] =
        loops * sizeof(struct store_mount) * STORE_MOUNTS_MAX
        + loops * recent_bytes(STORAGE_RECENT_UPLOADS) + config->mount_count * sizeof(struct mount)
        + SURVEY_ROWS_MAX * sizeof(struct survey_row) + sight_bytes(request->descriptor_limit, true)
        + loops * sizeof(struct recorder);
    terms[STORAGE_MEMORIES_CONNECTIONS] =
        loops * pool_bytes(sizeof(struct net_connection), budget->connection_max, 0);
    terms[STORAGE_MEMORIES_RECEIVE_BUFFERS] =
        loops
            * (pool_bytes(small, connections + budget->pull_max + 1 + config->receive_buffers, 0)
                + pool_bytes(large, config->receive_large_buffers, 0))
        + (config->tracker_count + budget->member_max) * small;
    terms[STORAGE_MEMORIES_REQUESTS] =
        loops
        * (pool_bytes(sizeof(struct net_request), budget->request_max, 0)
            + native_bytes(budget->request_max, (uint32_t)config->chunk_size)
            + native_node_bytes(&store));
    terms[STORAGE_MEMORIES_FASTDFS] =
        loops * fdfs_door_bytes(config, budget->fastdfs_connection_max);
    terms[STORAGE_MEMORIES_HTTP] = loops * http_door_bytes(config, budget->http_connection_max);
    terms[STORAGE_MEMORIES_WORK_BUFFERS] = loops * work_bytes(config);
    terms[STORAGE_MEMORIES_STREAMS] = budget->stream_count * stream_bytes(config);
    terms[STORAGE_MEMORIES_CHUNK_FILES] =
        loops * budget->chunk_files * (sizeof(struct chunk_file) + 2 * sizeof(struct map_entry));
    terms[STORAGE_MEMORIES_LOOPS] += loops * scrub_bytes();
    terms[STORAGE_MEMORIES_LOOPS] +=
        loops * sizeof(struct storage_loop_report) + metrics_bytes(config);
    terms[STORAGE_MEMORIES_PULLS] =
        budget->peers_max > 0 ? loops * pull_bytes(budget->pull_max) + reconcile_bytes() : 0;
    terms[STORAGE_MEMORIES_MIRRORS] = loops * mirror_bytes(config, budget);
    budget->memory_sum = sum_of(terms, STORAGE_MEMORIES_COUNT);
}

err_t storage_budget(const struct storage_budget_request *request, struct storage_budget *ret)
{
    CHECK(request->loops > 0 && request->loops <= STORAGE_LOOPS_MAX);
    *ret = (struct storage_budget){
        .loops = request->loops, .descriptor_limit = request->descriptor_limit};
    set_streams(request, ret);
    uint32_t peers_least = request->config->peers_max < PEERS_LEAST
                               ? (uint32_t)request->config->peers_max
                               : PEERS_LEAST;
    bool does_fit = shrink_to_fit(request, ret, peers_least);
    if (!does_fit && ret->loops > 1) {
        ret->loops = 1;
        set_streams(request, ret);
        does_fit = shrink_to_fit(request, ret, peers_least);
        ret->is_shrunk = true;
    }
    if (!does_fit)
        does_fit = shrink_to_fit(request, ret, 0);
    sum_memory(request, ret);
    return does_fit ? ERR_OK : ERR(NO_RESOURCE, 0);
}

/* ---- for people ---- */

void storage_budget_print_descriptors(const struct storage_budget *budget, struct text *text)
{
    text_add(text, "descriptors: ");
    for (size_t i = 0; i < STORAGE_DESCRIPTORS_COUNT; i++)
        text_add(text, "%s%llu %s", i == 0 ? "" : " + ", (unsigned long long)budget->descriptors[i],
            descriptors_names[i]);
    text_add(text, " = %llu of %llu", (unsigned long long)budget->descriptor_sum,
        (unsigned long long)budget->descriptor_limit);
    if (budget->descriptor_sum > budget->descriptor_limit)
        text_add(text, ": too few; raise the limit of open files (ulimit -n) to at least %llu",
            (unsigned long long)budget->descriptor_sum);
    else if (budget->is_shrunk)
        text_add(text,
            "; to fit the limit of open files each of %u loops has only %u connections, %u requests"
            " at one time and %u chunk files, and there is room for %u mirrors",
            budget->loops, budget->connection_max, budget->request_max, budget->chunk_files,
            budget->peers_max);
}

void storage_budget_print_memory(const struct storage_budget *budget, struct text *text)
{
    text_add(text, "memory: ");
    for (size_t i = 0; i < STORAGE_MEMORIES_COUNT; i++) {
        text_add(text, "%s", i == 0 ? "" : " + ");
        text_add_size(text, budget->memory[i]);
        text_add(text, " %s", memories_names[i]);
    }
    text_add(text, " = ");
    text_add_size(text, budget->memory_sum);
}
