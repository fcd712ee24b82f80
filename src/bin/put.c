/* cairn put: store files, many at once. */
#include "bin/verbs.h"

#include <inttypes.h>

#include "base/units.h"
#include "bin/file.h"
#include "bin/resume.h"
#include "bin/session.h"
#include "bin/walk.h"

enum { JOBS_MAX = 256 };

struct put_options {
    struct common common;
    bool is_recursive;
    const char *pool;
    uint8_t ack;
    uint32_t slack;
    bool must_be_mutable, must_be_immutable;
    const char *suffix, *content_type, *metadata;
    const char *expires;
    uint64_t jobs;
    const char *manifest, *resume;
};

struct put_job {
    struct client_op op;
    struct file_source file;
    struct put *put;
    bool is_busy;
    char path[MANIFEST_PATH_MAX];
    char name[MANIFEST_PATH_MAX]; /* in the manifest */
};

struct put {
    struct session session;
    const struct put_options *options;
    uint64_t expires;
    struct walk walk;
    struct resume resume;
    bool has_manifest;
    bool is_at_end;
    uint64_t known_count; /* left out: the manifest has them */
    struct put_job *jobs;
    uint8_t *buffers;
    size_t active;
};

static void report_stored(struct put_job *job, const struct msg_uploaded *uploaded)
{
    struct put *put = job->put;
    progress_clear(&put->session.progress);
    if (!put->options->common.is_json) {
        (void)printf(
            "%.*s\t%s\n", (int)uploaded->id.size, (const char *)uploaded->id.data, job->path);
        (void)fflush(stdout);
        return;
    }
    struct json_line json;
    json_line_begin(&json);
    json_line_add_span(&json, "id", uploaded->id);
    json_line_add_text(&json, "path", job->path);
    json_line_add_number(&json, "size", uploaded->size);
    json_line_add_crc(&json, "crc32", uploaded->crc);
    json_line_add_version(&json, "version", uploaded->version);
    json_line_add_text(&json, "ack", ack_name(uploaded->ack));
    json_line_add_number(&json, "holders", uploaded->holder_count);
    json_line_add_span(&json, "held_by", uploaded->holders);
    json_line_add_number(&json, "machine", uploaded->machine);
    json_line_print(&json, stdout);
}

/* The line in the manifest first: an id that was printed is in the manifest, too. */
static void job_stored(struct put_job *job)
{
    struct put *put = job->put;
    const struct msg_uploaded *uploaded = &job->op.reply.uploaded;
    if (put->has_manifest) {
        struct manifest_line line = {
            .size = uploaded->size, .crc = uploaded->crc, .modify_ns = job->file.modify_ns};
        (void)span_to_text(uploaded->id, line.id, sizeof line.id);
        memcpy(line.path, job->name, sizeof line.path);
        err_t err = resume_append(&put->resume, &line);
        if (err_is(err))
            session_fail(&put->session, job->path, err,
                "it is stored, but the manifest could not be written");
    }
    put->session.tally.succeeded++;
    put->session.progress.files_done++;
    report_stored(job, uploaded);
    session_check_ack(
        &put->session, job->path, put->options->ack, uploaded->ack, uploaded->holders);
}

static void put_begin_next(struct put_job *job);

static void job_done(struct client_op *op)
{
    struct put_job *job = op->context;
    struct put *put = job->put;
    err_t err = op->machine.err;
    file_source_close(&job->file);
    job->is_busy = false;
    put->active--;
    if (!err_is(err))
        job_stored(job);
    else if (job->file.was_cut)
        session_fail(&put->session, job->path, err, "the file became shorter while it was read");
    else
        session_fail(&put->session, job->path, err, op->sentence);
    put_begin_next(job);
}

static uint8_t mutability(const struct put_options *options)
{
    return options->must_be_mutable ? 1 : options->must_be_immutable ? 0 : 2;
}

static struct span text_or_none(const char *text)
{
    return text ? span_of_text(text) : span_of(NULL, 0);
}

/* "jpg" of "a/b.jpg": the suffix of an id is taken from the path where it can be one. */
static struct span suffix_of(const struct put_options *options, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    if (options->suffix)
        return span_of_text(options->suffix);
    if (!dot || dot == name || !suffix_is_valid(span_of_text(dot + 1)))
        return span_of(NULL, 0);
    return span_of_text(dot + 1);
}

static void job_start(struct put_job *job, size_t index)
{
    struct put *put = job->put;
    const struct put_options *options = put->options;
    job->is_busy = true;
    put->active++;
    job->op = (struct client_op){.done = job_done,
        .context = job,
        .type = MSG_UPLOAD,
        .source = &job->file.source,
        .buffer = put->buffers + index * FRAME_DATA_MAX};
    job->op.request.upload = (struct msg_upload){.pool = text_or_none(options->pool),
        .ack = options->ack,
        .is_mutable = mutability(options),
        .size_known = !job->file.is_stream,
        .size = job->file.is_stream ? 0 : job->file.size,
        .slack = options->slack,
        .suffix = suffix_of(options, job->path),
        .content_type = text_or_none(options->content_type),
        .expires = put->expires,
        .metadata = text_or_none(options->metadata)};
    client_start(&put->session.client, &job->op);
}

static bool copy_path(struct put_job *job, const char *path)
{
    memcpy(job->path, path, strlen(path) + 1);
    if (strcmp(path, "-") == 0)
        memcpy(job->name, "-", 2);
    else if (!manifest_path_normalize(path, job->name))
        return !job->put->has_manifest;
    return true;
}

/* Is there anything to do for this entry? Then job->file is open. */
static bool job_take(struct put_job *job, const struct walk_entry *entry)
{
    struct put *put = job->put;
    if (!copy_path(job, entry->path)) {
        session_fail(&put->session, entry->path, ERR(USAGE, 0),
            "a path with \"..\" in its middle can't be in a manifest");
        return false;
    }
    if (put->has_manifest && strcmp(entry->path, "-") != 0
        && resume_knows(&put->resume, job->name, entry->stat.size, entry->stat.modify_ns)) {
        put->known_count++;
        put->session.progress.bytes_done += entry->stat.size;
        put->session.progress.files_done++;
        return false;
    }
    err_t err = file_source_open(
        &job->file, put->session.io, &put->session.owner, entry->path, &put->session.progress);
    if (err_is(err))
        session_fail(&put->session, entry->path, err, NULL);
    return !err_is(err);
}

static void put_begin_next(struct put_job *job)
{
    struct put *put = job->put;
    struct walk_entry entry;
    while (!put->session.was_interrupted && !put->is_at_end) {
        switch (walk_next(&put->walk, &entry)) {
        case WALK_FILE:
            if (!job_take(job, &entry))
                break;
            job_start(job, (size_t)(job - put->jobs));
            return;
        case WALK_SKIPPED:
            session_note(&put->session, "%s: left out: %s", entry.path, entry.why);
            break;
        case WALK_FAILED:
            session_fail(&put->session, entry.path, entry.err, entry.why);
            break;
        case WALK_END:
            put->is_at_end = true;
            break;
        }
    }
}

/* For the bar: how much there is to do. A second walk is cheap beside the transfer. */
static void count_totals(struct put *put, char *const *roots, size_t root_count)
{
    struct walk_entry entry;
    enum walk_result result;
    bool has_stream = false;
    if (!put->session.progress.to)
        return;
    walk_init(&put->walk, put->session.io, &put->session.mem, &put->session.owner, roots,
        root_count, put->options->is_recursive);
    while ((result = walk_next(&put->walk, &entry)) != WALK_END) {
        if (result != WALK_FILE)
            continue;
        put->session.progress.files_total++;
        put->session.progress.bytes_total += entry.stat.size;
        has_stream |= strcmp(entry.path, "-") == 0;
    }
    walk_fini(&put->walk);
    if (has_stream)
        put->session.progress.bytes_total = 0;
}

static err_t put_take_memory(struct put *put)
{
    void *jobs, *buffers;
    size_t count = (size_t)put->options->jobs;
    TRY(mem_take(&put->session.mem, &put->session.owner, count * sizeof *put->jobs, 0, &jobs));
    put->jobs = jobs;
    TRY(mem_take(&put->session.mem, &put->session.owner, count * FRAME_DATA_MAX, 4096, &buffers));
    put->buffers = buffers;
    return ERR_OK;
}

static void put_run(struct put *put, char *const *roots, size_t root_count)
{
    count_totals(put, roots, root_count);
    walk_init(&put->walk, put->session.io, &put->session.mem, &put->session.owner, roots,
        root_count, put->options->is_recursive);
    for (size_t i = 0; i < put->options->jobs && !put->is_at_end; i++) {
        put->jobs[i].put = put;
        put_begin_next(&put->jobs[i]);
    }
    while (put->active > 0)
        session_turn(&put->session);
    walk_fini(&put->walk);
    progress_clear(&put->session.progress);
    if (put->known_count > 0)
        session_note(&put->session, "%" PRIu64 " files are known to the manifest and were left out",
            put->known_count);
    if (put->session.was_interrupted)
        session_note(&put->session, "interrupted: %" PRIu64 " files were stored",
            put->session.tally.succeeded);
}

static int put_with_manifest(struct put *put, char *const *roots, size_t root_count)
{
    const char *path = put->options->resume ? put->options->resume : put->options->manifest;
    put->has_manifest = path != NULL;
    if (path) {
        err_t err = resume_open(&put->resume, put->session.io, &put->session.mem,
            &put->session.owner, path, put->options->resume != NULL);
        if (err_is(err)) {
            session_fail(&put->session, path, err,
                err_has(err, ERR_CODE_EXISTS) ? "it exists already (to go on: --resume)" : NULL);
            return session_exit_code(&put->session);
        }
    }
    err_t err = put_take_memory(put);
    if (err_is(err))
        session_fail(&put->session, "memory for --jobs", err, NULL);
    else
        put_run(put, roots, root_count);
    mem_give(&put->session.mem, put->buffers);
    mem_give(&put->session.mem, put->jobs);
    if (path)
        resume_close(&put->resume);
    return session_exit_code(&put->session);
}

static bool options_are_sound(const struct put_options *options, uint64_t now_ns, struct put *put)
{
    if (options->must_be_mutable && options->must_be_immutable)
        return usage_error("put", "--mutable and --immutable exclude each other");
    if (options->manifest && options->resume)
        return usage_error(
            "put", "--resume MANIFEST writes the manifest, too: leave --manifest out");
    if (options->suffix && !suffix_is_valid(span_of_text(options->suffix)))
        return usage_error("put", "--suffix wants at most 6 of A-Z a-z 0-9 _ -");
    uint64_t expires_ns = 0;
    if (options->expires && !parse_time(options->expires, now_ns, &expires_ns))
        return usage_error("put", "--expires wants a time like 2030-01-31 or unix seconds");
    put->expires = expires_ns / NS_PER_S;
    return true;
}

static int put_main(const struct verb *verb, int argc, char **argv)
{
    struct put_options options = {.common = COMMON_DEFAULT, .jobs = 8};
    int first;
    enum args_result parsed = args_parse(verb, argc, argv, &options, &first, stdout, stderr);
    if (parsed != ARGS_OK)
        return args_exit_code(parsed);
    if (first == argc)
        return usage_exit(verb, "which files? PATH... is missing");
    struct put put = {.options = &options};
    int code = session_open(
        &put.session, "put", &options.common, (uint32_t)options.jobs, (uint32_t)options.jobs);
    if (code != 0)
        return code;
    code = options_are_sound(&options, io_wall(put.session.io), &put)
               ? put_with_manifest(&put, argv + first, (size_t)(argc - first))
               : err_exit_code(ERR_CODE_USAGE);
    session_close(&put.session);
    return code;
}

static const struct arg rows[] = {
    {.name = "recursive",
        .letter = 'r',
        .kind = ARG_FLAG,
        .text = "whole directories",
        .offset = offsetof(struct put_options, is_recursive)},
    {.name = "pool",
        .kind = ARG_TEXT,
        .value = "POOL",
        .text = "store in this pool (default)",
        .offset = offsetof(struct put_options, pool)},
    {.name = "ack",
        .kind = ARG_ACK,
        .value = "LEVEL",
        .text = "acknowledge when the file is held by\n"
                "  memory  the storage process (lost with it)\n"
                "  local   the disk of one storage\n"
                "  one     and by one mirror, durably\n"
                "  all     and by all mirrors, durably\n"
                "default: as the storages are configured (local). If mirrors do not hold it in\n"
                "time the file is stored nevertheless: who holds it is said, exit code 8",
        .offset = offsetof(struct put_options, ack)},
    {.name = "slack",
        .kind = ARG_SLACK,
        .value = "N",
        .text = "room to grow in place: percent (20%) or bytes (4K)",
        .offset = offsetof(struct put_options, slack)},
    {.name = "mutable",
        .kind = ARG_FLAG,
        .text = "may be modified later",
        .offset = offsetof(struct put_options, must_be_mutable)},
    {.name = "immutable",
        .kind = ARG_FLAG,
        .text = "may not; its id tells size and CRC (neither: as the pool says)",
        .offset = offsetof(struct put_options, must_be_immutable)},
    {.name = "suffix",
        .kind = ARG_TEXT,
        .value = "EXT",
        .text = "the id ends in .EXT (default: that of the path)",
        .offset = offsetof(struct put_options, suffix)},
    {.name = "content-type",
        .kind = ARG_TEXT,
        .value = "TYPE",
        .text = "kept with the file",
        .offset = offsetof(struct put_options, content_type)},
    {.name = "metadata",
        .kind = ARG_TEXT,
        .value = "TEXT",
        .text = "kept with the file, shown by stat",
        .offset = offsetof(struct put_options, metadata)},
    {.name = "expires",
        .kind = ARG_TEXT,
        .value = "TIME",
        .text = "may be removed after this time (2030-01-31, unix seconds)",
        .offset = offsetof(struct put_options, expires)},
    {.name = "jobs",
        .letter = 'j',
        .kind = ARG_NUMBER,
        .value = "N",
        .text = "so many files at once (8)",
        .offset = offsetof(struct put_options, jobs),
        .min = 1,
        .max = JOBS_MAX},
    {.name = "manifest",
        .kind = ARG_TEXT,
        .value = "FILE",
        .text = "write one line per stored file: for get -r and for --resume",
        .offset = offsetof(struct put_options, manifest)},
    {.name = "resume",
        .kind = ARG_TEXT,
        .value = "MANIFEST",
        .text = "go on after an interruption: leave out what the manifest has\n"
                "(same path, size and change time), append the rest to it",
        .offset = offsetof(struct put_options, resume)},
    COMMON_ROWS(struct put_options),
};

const struct verb put_verb = {
    .name = "put",
    .brief = "store files; prints ID<TAB>PATH",
    .usage = "PATH... [-r] [options]        (PATH - is standard input)",
    .about =
        "Stores each file and prints a line with its id and its path as soon as the file is\n"
        "acknowledged: what was printed survives a crash of the machine (see --ack). The id is\n"
        "the only way back to the file: keep it, or let --manifest keep it.\n"
        "Files that fail are named on standard error, the others are stored; the exit code is 8\n"
        "then. Links are followed to files, not to directories. Nothing is held in memory whole.",
    .examples = "  cairn put photo.jpg\n"
                "  tar c /etc | cairn put --suffix tar -\n"
                "  cairn put -r photos --jobs 32 --manifest photos.cairn\n"
                "  cairn put -r photos --resume photos.cairn      after an interruption\n"
                "  cairn get -r photos.cairn -o copy              all of it back",
    .args = {rows, ARRAY_LEN(rows)},
    .run = put_main,
};
