/* cairn import fastdfs: the files of a FastDFS storage, under their old ids (doc/fastdfs.md). */
#include "bin/verbs.h"

#include <inttypes.h>

#include "base/crc.h"
#include "base/units.h"
#include "bin/file.h"
#include "bin/import_map.h"
#include "bin/import_store.h"

enum { JOBS_MAX = 256 };

struct import_options {
    struct common common;
    const char *group, *manifest;
    uint8_t ack;
    uint64_t jobs;
    bool is_dry;
};

struct import_job {
    struct client_op op;
    struct file_source file;
    struct import *import;
    struct import_item item;
    char known[FID_TEXT_MAX]; /* an appender that changed since: the id that it has; else "" */
};

struct import {
    struct session session;
    const struct import_options *options;
    struct import_store store;
    struct resume resume;
    struct import_job *jobs;
    uint8_t *buffers;
    size_t active;
    bool is_at_end;
    uint64_t known_count, unverified_count, changed_count, bytes;
};

static void name_of(const struct import *import, const struct import_item *item, char *ret)
{
    struct text text;
    text_init(&text, ret, MANIFEST_PATH_MAX);
    text_add(&text, "%s/%s", import->options->group, item->name);
}

static void report_imported(struct import_job *job, const struct manifest_line *line)
{
    progress_clear(&job->import->session.progress);
    if (!job->import->options->common.is_json) {
        (void)printf("%s\t%s\n", line->id, line->path);
        (void)fflush(stdout);
        return;
    }
    struct json_line json;
    json_line_begin(&json);
    json_line_add_text(&json, "id", line->id);
    json_line_add_text(&json, "old_id", line->path);
    json_line_add_number(&json, "size", line->size);
    json_line_add_crc(&json, "crc32", line->crc);
    json_line_add_bool(&json, "verified", job->item.is_crc_known);
    json_line_print(&json, stdout);
}

static void count_done(struct import *import, const struct import_item *item)
{
    import->session.tally.succeeded++;
    import->session.progress.files_done++;
    import->bytes += item->size;
    import->unverified_count += !item->is_crc_known;
}

/* ---- a file that is stored ---- */

static void job_stored(struct import_job *job)
{
    struct import *import = job->import;
    const struct import_item *item = &job->item;
    bool is_upload = job->op.type == MSG_UPLOAD;
    const struct msg_uploaded *uploaded = &job->op.reply.uploaded;
    const struct msg_modified *modified = &job->op.reply.modified;
    struct manifest_line line = {.size = item->size,
        .crc = is_upload ? uploaded->crc : modified->crc,
        .modify_ns = item->modify_ns};
    struct span id = is_upload ? uploaded->id : span_of_text(job->known);
    (void)span_to_text(id, line.id, sizeof line.id);
    name_of(import, item, line.path);
    err_t err = resume_append(&import->resume, &line);
    if (err_is(err)) {
        session_fail(&import->session, item->path, err,
            "it is stored, but the manifest could not be written");
        return;
    }
    count_done(import, item);
    import->changed_count += !is_upload;
    report_imported(job, &line);
    session_check_ack(&import->session, line.path, import->options->ack,
        is_upload ? uploaded->ack : modified->ack,
        is_upload ? uploaded->holders : modified->holders);
}

static void job_failed(struct import_job *job, err_t err)
{
    char name[MANIFEST_PATH_MAX];
    const char *why = job->op.sentence;
    name_of(job->import, &job->item, name);
    if (job->file.was_cut)
        why = "the file became shorter while it was read";
    else if (err_has(err, ERR_CODE_CORRUPT) && job->item.is_crc_known)
        why = "damaged: its content does not have the CRC that its id names";
    session_fail(&job->import->session, name, err, why);
}

static void begin_next(struct import_job *job);

static void job_done(struct client_op *op)
{
    struct import_job *job = op->context;
    err_t err = op->machine.err;
    file_source_close(&job->file);
    job->import->active--;
    if (err_is(err))
        job_failed(job, err);
    else
        job_stored(job);
    begin_next(job);
}

/* "jpg" of "...444.jpg", where an id of ours can have it, too. */
static struct span suffix_of(const struct import_item *item)
{
    const char *dot = strrchr(item->name, '.');
    bool is_good = dot && suffix_is_valid(span_of_text(dot + 1));
    return is_good ? span_of_text(dot + 1) : span_of(NULL, 0);
}

static void job_start(struct import_job *job, size_t index)
{
    struct import *import = job->import;
    const struct import_item *item = &job->item;
    bool is_appender = item->id.is_appender && !item->id.is_slave;
    job->op = (struct client_op){.done = job_done,
        .context = job,
        .type = job->known[0] == '\0' ? MSG_UPLOAD : MSG_MODIFY,
        .source = &job->file.source,
        .buffer = import->buffers + index * FRAME_DATA_MAX,
        .group = import->options->group};
    if (job->op.type == MSG_UPLOAD)
        job->op.request.upload = (struct msg_upload){.ack = import->options->ack,
            .is_mutable = is_appender,
            .size_known = 1,
            .size = item->size,
            .suffix = suffix_of(item),
            .crc_known = item->is_crc_known,
            .crc = item->id.crc,
            .metadata = span_of(item->metadata, item->metadata_size)};
    else
        job->op.request.modify = (struct msg_modify){.id = span_of_text(job->known),
            .ack = import->options->ack,
            .mode = MODIFY_REPLACE,
            .size_known = 1,
            .size = item->size};
    import->active++;
    client_start(&import->session.client, &job->op);
}

/* ---- a dry run reads, and compares ---- */

static err_t check_content(struct import_job *job)
{
    struct import *import = job->import;
    const struct import_item *item = &job->item;
    uint32_t crc = 0;
    for (uint64_t done = 0; done < item->size;) {
        uint64_t left = item->size - done;
        struct iovec piece = {
            import->buffers, left < FRAME_DATA_MAX ? (size_t)left : FRAME_DATA_MAX};
        struct io_op read = {.kind = IO_READ,
            .fd = job->file.handle.fd,
            .offset = item->base + done,
            .iov = &piece,
            .iov_count = 1,
            .owner = &import->session.owner};
        int64_t result = io_call(import->session.io, &read);
        if (result <= 0)
            return result < 0 ? ERR_RESULT(result) : ERR(CORRUPT, 0);
        crc = crc32_update(crc, import->buffers, (size_t)result);
        done += (uint64_t)result;
    }
    return item->is_crc_known && crc != item->id.crc ? ERR(CORRUPT, 0) : ERR_OK;
}

static void check_dry(struct import_job *job)
{
    err_t err = check_content(job);
    file_source_close(&job->file);
    job->op.sentence[0] = '\0';
    if (err_is(err))
        job_failed(job, err);
    else
        count_done(job->import, &job->item);
    progress_tick(&job->import->session.progress, io_now(job->import->session.io));
}

/* ---- which is next ---- */

/* Is it in the manifest, as it is now? Only appenders change under their name. */
static bool is_known(struct import_job *job)
{
    struct import *import = job->import;
    const struct import_item *item = &job->item;
    char name[MANIFEST_PATH_MAX];
    struct manifest_line line;
    job->known[0] = '\0';
    name_of(import, item, name);
    if (import->options->is_dry || !resume_find(&import->resume, name, &line))
        return false;
    bool may_change = item->id.is_appender && !item->id.is_slave;
    if (may_change && (line.size != item->size || line.modify_ns != item->modify_ns)) {
        memcpy(job->known, line.id, sizeof job->known);
        return false;
    }
    import->known_count++;
    import->session.progress.files_done++;
    return true;
}

/* Is there anything to do for this one? Then job->file is open. */
static bool job_take(struct import_job *job)
{
    struct import *import = job->import;
    const struct import_item *item = &job->item;
    if (item->lacks_metadata)
        session_fail(&import->session, "metadata", ERR(TOO_LARGE, 0), import->store.text);
    if (is_known(job))
        return false;
    err_t err = file_source_open(&job->file, import->session.io, &import->session.owner, item->path,
        &import->session.progress);
    if (err_is(err)) {
        session_fail(&import->session, item->path, err, NULL);
        return false;
    }
    job->file.base = item->base;
    job->file.size = item->size;
    return true;
}

static void begin_next(struct import_job *job)
{
    struct import *import = job->import;
    while (!import->session.was_interrupted && !import->is_at_end) {
        err_t err = ERR_OK;
        switch (import_store_next(&import->store, &job->item, &err)) {
        case IMPORT_FILE:
            if (!job_take(job))
                break;
            if (import->options->is_dry) {
                check_dry(job);
                break;
            }
            job_start(job, (size_t)(job - import->jobs));
            return;
        case IMPORT_BAD:
            session_fail(&import->session, "not imported", err, import->store.text);
            break;
        case IMPORT_NOTICE:
            session_note(&import->session, "%s", import->store.text);
            break;
        case IMPORT_END:
            import->is_at_end = true;
        }
    }
}

static err_t take_memory(struct import *import)
{
    void *jobs, *buffers;
    size_t count = (size_t)import->options->jobs;
    struct session *session = &import->session;
    TRY(mem_take(&session->mem, &session->owner, count * sizeof *import->jobs, 0, &jobs));
    import->jobs = jobs;
    TRY(mem_take(&session->mem, &session->owner, count * FRAME_DATA_MAX, 4096, &buffers));
    import->buffers = buffers;
    return ERR_OK;
}

static void import_files(struct import *import, char *const *roots, size_t root_count)
{
    struct session *session = &import->session;
    import_store_init(
        &import->store, session->io, &session->mem, &session->owner, roots, root_count);
    for (size_t i = 0; i < import->options->jobs && !import->is_at_end; i++) {
        import->jobs[i].import = import;
        begin_next(&import->jobs[i]);
    }
    while (import->active > 0)
        session_turn(session);
    import_store_fini(&import->store);
    progress_clear(&session->progress);
}

/* ---- the end ---- */

static void report(struct import *import, const struct import_map *map)
{
    struct session *session = &import->session;
    const char *verb = import->options->is_dry ? "would be imported" : "imported";
    uint64_t count = session->tally.succeeded;
    if (!import->options->common.is_json) {
        session_note(session,
            "%" PRIu64 " files %s (%" PRIu64 " bytes), %" PRIu64 " known before, %" PRIu64
            " failed; %" PRIu64 " without a CRC to compare (appenders, slaves)",
            count, verb, import->bytes, import->known_count, session->tally.failed,
            import->unverified_count);
        if (map->maps > 0)
            session_note(session, "%" PRIu64 " old ids lead to them now", map->names);
        return;
    }
    struct json_line json;
    json_line_begin(&json);
    json_line_add_bool(&json, "dry_run", import->options->is_dry);
    json_line_add_number(&json, "files", count);
    json_line_add_number(&json, "bytes", import->bytes);
    json_line_add_number(&json, "known", import->known_count);
    json_line_add_number(&json, "changed", import->changed_count);
    json_line_add_number(&json, "failed", session->tally.failed);
    json_line_add_number(&json, "unverified", import->unverified_count);
    json_line_add_number(&json, "names", map->names);
    json_line_print(&json, stdout);
}

static void run(struct import *import, char *const *roots, size_t root_count)
{
    struct session *session = &import->session;
    const struct import_options *options = import->options;
    struct import_map map = {.session = session,
        .group = options->group,
        .manifest = options->manifest,
        .ack = options->ack};
    err_t err = take_memory(import);
    if (err_is(err))
        session_fail(session, "memory for --jobs", err, NULL);
    else
        import_files(import, roots, root_count);
    mem_give(&session->mem, import->buffers);
    mem_give(&session->mem, import->jobs);
    if (!options->is_dry) {
        resume_close(&import->resume);
        if (!session->was_interrupted && err_is(import_map_run(&map)))
            session_note(session, "the files are stored; their old ids are not known yet: run the "
                                  "same command again");
    }
    report(import, &map);
}

static int import_with_manifest(struct import *import, char *const *roots, size_t root_count)
{
    struct session *session = &import->session;
    const char *path = import->options->manifest;
    if (!import->options->is_dry) {
        err_t err =
            resume_open(&import->resume, session->io, &session->mem, &session->owner, path, true);
        if (err_is(err)) {
            session_fail(session, path, err, NULL);
            return session_exit_code(session);
        }
    }
    run(import, roots, root_count);
    return session_exit_code(session);
}

static int import_main(const struct verb *verb, int argc, char **argv)
{
    struct import_options options = {.common = COMMON_DEFAULT, .jobs = 8};
    int first;
    enum args_result parsed = args_parse(verb, argc, argv, &options, &first, stdout, stderr);
    if (parsed != ARGS_OK)
        return args_exit_code(parsed);
    if (first == argc || strcmp(argv[first], "fastdfs") != 0)
        return usage_exit(verb, "import what? It begins with: cairn import fastdfs DIR...");
    if (++first == argc)
        return usage_exit(verb, "which store paths? DIR... is missing");
    if (!options.group || !group_name_is_valid(span_of_text(options.group)))
        return usage_exit(verb, "--group wants the name of the FastDFS group, here and there");
    if (!options.is_dry && !options.manifest)
        return usage_exit(verb, "--manifest FILE is missing: it keeps what was imported");
    struct import import = {.options = &options};
    int code = session_open(
        &import.session, "import", &options.common, (uint32_t)options.jobs, (uint32_t)options.jobs);
    if (code != 0)
        return code;
    code = import_with_manifest(&import, argv + first, (size_t)(argc - first));
    session_close(&import.session);
    return code;
}

static const struct arg rows[] = {
    {.name = "group",
        .kind = ARG_TEXT,
        .value = "GROUP",
        .text = "the FastDFS group that DIR... is of; the files go to the group of this name",
        .offset = offsetof(struct import_options, group)},
    {.name = "manifest",
        .kind = ARG_TEXT,
        .value = "FILE",
        .text = "one line for each file that is stored; what is in it already is left out, so\n"
                "that the same command goes on after an interruption, or brings what is new",
        .offset = offsetof(struct import_options, manifest)},
    {.name = "dry-run",
        .letter = 'n',
        .kind = ARG_FLAG,
        .text = "store nothing: read all of it, compare CRCs, say what is damaged",
        .offset = offsetof(struct import_options, is_dry)},
    {.name = "ack",
        .kind = ARG_ACK,
        .value = "LEVEL",
        .text = "as for put: memory, local, one, all",
        .offset = offsetof(struct import_options, ack)},
    {.name = "jobs",
        .letter = 'j',
        .kind = ARG_NUMBER,
        .value = "N",
        .text = "so many files at once (8)",
        .offset = offsetof(struct import_options, jobs),
        .min = 1,
        .max = JOBS_MAX},
    COMMON_ROWS(struct import_options),
};

const struct verb import_verb = {
    .name = "import",
    .brief = "take over the files of a FastDFS store, with their ids",
    .usage = "fastdfs DIR... --group GROUP --manifest FILE [options]",
    .about =
        "DIR... are the store paths of a FastDFS storage, M00 first: directories that hold "
        "\"data\".\n"
        "Flat files, trunk files, appenders, slaves and metadata are copied into the group of the\n"
        "same name; CRCs that ids carry are verified. Then the old ids lead to the files, at "
        "every\n"
        "door and on every mirror. Nothing in DIR is changed. Prints ID<TAB>OLD-ID for each file.\n"
        "What is damaged or can't be read is named on standard error, the others are imported; "
        "the\n"
        "exit code is 8 then. The command may be repeated while FastDFS is running: each time it\n"
        "brings what is new, and appenders that changed. doc/fastdfs.md: how to move a cluster.",
    .examples =
        "  cairn import fastdfs /fdfs/path0 /fdfs/path1 --group group1 --dry-run\n"
        "  cairn import fastdfs /fdfs/path0 /fdfs/path1 --group group1 --manifest group1.cairn\n"
        "  cairn get group1/M00/00/00/wKgBcFzEZ9yAB0YfAAAACnWgHXs311.txt",
    .args = {rows, ARRAY_LEN(rows)},
    .run = import_main,
};
