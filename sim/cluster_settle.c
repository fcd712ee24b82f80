#include "sim/cluster_settle.h"

#include <stdarg.h>

#include "base/text.h"
#include "base/units.h"
#include "sim/cluster_digest.h"
#include "sim/mem.h"
#include "storage/server.h"

__attribute__((format(printf, 2, 3))) static bool fail(
    struct cluster_settle *settle, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(settle->failure, sizeof settle->failure, format, arguments);
    va_end(arguments);
    return false;
}

static bool keeps(const struct cluster_settle *settle, const struct cluster_file *file, unsigned at)
{
    return settle->skills.has_mirrors || file->fid.identity.origin == at + 1;
}

static struct cluster_call *read_file(
    struct cluster_settle *settle, const struct cluster_file *file, unsigned storage)
{
    struct cluster_call *call = cluster_call_new(settle->cluster, MSG_FIND, 1);
    memcpy(call->id, file->id, sizeof call->id);
    call->op.request.find.local_only = 1;
    cluster_call_run(call, 0, storage + 1);
    bool is_in_doubt = settle->skills.has_mirrors && err_has(call->err, ERR_CODE_CORRUPT)
                       && file->fid.identity.origin != storage + 1;
    if (!is_in_doubt)
        return call;
    /* Where no header is, one storage alone can't tell damage from what a deleted file left. */
    cluster_call_free(call);
    call = cluster_call_new(settle->cluster, MSG_FIND, 1);
    memcpy(call->id, file->id, sizeof call->id);
    cluster_call_run(call, 0, storage + 1);
    return call;
}

static bool is_missing(const struct cluster_call *call)
{
    return err_has(call->err, ERR_CODE_NOT_FOUND);
}

static bool is_same(const struct cluster_call *a, const struct cluster_call *b)
{
    if (is_missing(a) || is_missing(b))
        return is_missing(a) && is_missing(b);
    return version_equals(a->op.reply.found.version, b->op.reply.found.version)
           && a->found_size == b->found_size
           && (a->found_size == 0 || memcmp(a->found, b->found, a->found_size) == 0);
}

static void describe(const struct cluster_call *call, char *text, size_t size)
{
    const struct msg_found *found = &call->op.reply.found;
    struct text bounded;
    text_init(&bounded, text, size);
    if (err_is(call->err))
        text_add(&bounded, "%s (%s)", err_name(call->err.code), call->op.sentence);
    else
        text_add(&bounded, "version %llu.%u, %zu bytes", (unsigned long long)found->version.counter,
            found->version.machine, call->found_size);
}

static bool is_lost(const struct cluster_settle *settle, const struct cluster_call *call)
{
    return settle->is_damaged && !settle->skills.has_mirrors
           && err_has(call->err, ERR_CODE_CORRUPT);
}

/* The same at every storage that keeps it. *ret is one of the answers, the caller's. */
static bool agree(
    struct cluster_settle *settle, const struct cluster_file *file, struct cluster_call **ret)
{
    struct cluster_call *first = NULL;
    bool is_equal = true;
    unsigned first_at = 0;
    for (unsigned i = 0; i < settle->cluster->options.storages && is_equal; i++) {
        if (!keeps(settle, file, i))
            continue;
        struct cluster_call *call = read_file(settle, file, i);
        char here[200], there[200];
        describe(call, here, sizeof here);
        is_equal = !err_is(call->err) || is_missing(call) || is_lost(settle, call);
        if (!is_equal)
            (void)fail(settle, "%s at m%03u: %s", file->id, i + 1, here);
        if (is_equal && first && !is_same(first, call)) {
            describe(first, there, sizeof there);
            is_equal = fail(settle, "%s differs: m%03u has %s, m%03u has %s", file->id,
                first_at + 1, there, i + 1, here);
        }
        if (first || !is_equal) {
            cluster_call_free(call);
            continue;
        }
        first = call;
        first_at = i;
    }
    *ret = first;
    return is_equal;
}

static bool settle_file(
    struct cluster_settle *settle, struct cluster_file *file, const struct cluster_call *call)
{
    const struct msg_found *found = &call->op.reply.found;
    struct cluster_view view = {.version = found->version,
        .total = found->total,
        .size = call->found_size,
        .data = call->found ? call->found : (const uint8_t *)""};
    if (cluster_model_settle(settle->model, file, is_missing(call) ? NULL : &view))
        return true;
    return fail(settle, "%s", settle->model->failure);
}

static bool digests_agree(struct cluster_settle *settle)
{
    return !settle->skills.has_mirrors
           || cluster_digests_agree(settle->cluster, settle->failure, sizeof settle->failure);
}

/* One pass over all files. The first that differs ends it; *ret_is_final: no wait will help. */
static bool pass(struct cluster_settle *settle, bool *ret_is_final)
{
    bool is_well = digests_agree(settle);
    LIST_EACH_SAFE (node, &settle->model->files) {
        if (!is_well)
            break;
        struct cluster_file *file = CONTAINER_OF(node, struct cluster_file, link);
        struct cluster_call *call;
        is_well = agree(settle, file, &call);
        if (is_well && is_lost(settle, call)) {
            cluster_model_forget(file);
        } else if (is_well && !settle_file(settle, file, call)) {
            is_well = false;
            *ret_is_final = true;
        }
        if (call)
            cluster_call_free(call);
    }
    return is_well;
}

/* Files that are gone need not be looked at for ever. */
static void forget_gone(struct cluster_model *model)
{
    unsigned kept = 0;
    LIST_EACH_SAFE (node, &model->files) {
        struct cluster_file *file = CONTAINER_OF(node, struct cluster_file, link);
        if (list_is_empty(&file->versions) && ++kept > 12)
            cluster_model_forget(file);
    }
}

/* Who was about to end when all was healed comes back. */
static bool wait_for_whole(struct cluster *cluster, uint64_t end_ns)
{
    while (sim_world_now(cluster->world) < end_ns) {
        cluster_boot_all(cluster);
        if (cluster_run_until(cluster, cluster_is_whole, cluster, NS_PER_S))
            return true;
    }
    return false;
}

/* For the story: what each storage has of the files that differ. */
static void note_differences(struct cluster_settle *settle)
{
    LIST_EACH (node, &settle->model->files) {
        const struct cluster_file *file = CONTAINER_OF(node, struct cluster_file, link);
        struct cluster_call *first = NULL;
        for (unsigned i = 0; i < settle->cluster->options.storages; i++) {
            if (!keeps(settle, file, i))
                continue;
            struct cluster_call *call = read_file(settle, file, i);
            char here[200];
            describe(call, here, sizeof here);
            if (first ? !is_same(first, call) : err_is(call->err) && !is_missing(call))
                sim_world_note(settle->cluster->world, "%s at m%03u: %s", file->id, i + 1, here);
            if (first)
                cluster_call_free(call);
            else
                first = call;
        }
        if (first)
            cluster_call_free(first);
    }
}

/* What rotted is found by reading it; an operator would say `cairn check --deep`. */
static void read_everything(struct cluster *cluster)
{
    for (unsigned i = 0; i < cluster->options.storages; i++)
        (void)reconcile_request(&cluster->storages[i].storage->reconcile, true);
}

bool cluster_settle(struct cluster_settle *settle, uint64_t max_ns)
{
    struct cluster *cluster = settle->cluster;
    uint64_t end_ns = sim_world_now(cluster->world) + max_ns;
    bool is_final = false;
    if (!wait_for_whole(cluster, end_ns)) {
        char text[400];
        cluster_describe(cluster, text, sizeof text);
        return fail(settle, "not everybody became running: %s", text);
    }
    uint64_t read_ns = settle->is_damaged && settle->skills.has_mirrors ? 0 : UINT64_MAX;
    while (!pass(settle, &is_final)) {
        if (sim_world_now(cluster->world) >= read_ns) {
            read_everything(cluster);
            read_ns = sim_world_now(cluster->world) + 30 * NS_PER_S;
        }
        if (is_final || sim_world_now(cluster->world) >= end_ns) {
            note_differences(settle);
            return false;
        }
        cluster_run_for(cluster, NS_PER_S);
    }
    forget_gone(settle->model);
    return true;
}
