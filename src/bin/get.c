/* cairn get: one file, a range of it, or all of a manifest. */
#include "bin/verbs.h"

#include <errno.h>
#include <inttypes.h>

#include "base/units.h"
#include "bin/file.h"
#include "bin/resume.h"
#include "bin/session.h"

enum { JOBS_MAX = 256 };

struct get_options {
    struct common common;
    const char *manifest, *output;
    struct byte_range range;
    bool has_range;
    uint64_t storage;
    struct version if_version;
    uint64_t jobs;
};

struct get_job {
    struct client_op op;
    struct file_sink file;
    struct get *get;
    struct manifest_line line;
};

struct get {
    struct session session;
    const struct get_options *options;
    struct resume manifest;
    size_t manifest_at;
    bool is_manifest;
    struct io_handle directory;
    struct get_job *jobs;
    size_t active;
};

/* With the data on standard output, the facts go to standard error only as far as --json asks. */
static void report_found(struct get_job *job)
{
    struct get *get = job->get;
    const struct msg_found *found = &job->op.reply.found;
    if (!get->options->common.is_json || job->file.is_stream)
        return;
    struct json_line json;
    json_line_begin(&json);
    json_line_add_text(&json, "id", job->line.id);
    json_line_add_text(&json, "path", job->line.path);
    json_line_add_number(&json, "size", job->op.content_size);
    json_line_add_number(&json, "offset", found->offset);
    json_line_add_number(&json, "total", found->total);
    json_line_add_crc(&json, "crc32", found->crc);
    json_line_add_version(&json, "version", found->version);
    json_line_add_number(&json, "machine", job->op.answered_by);
    progress_clear(&get->session.progress);
    json_line_print(&json, stdout);
}

static void get_begin_next(struct get_job *job);

static void job_done(struct client_op *op)
{
    struct get_job *job = op->context;
    struct get *get = job->get;
    const char *what = get->is_manifest ? job->line.path : job->line.id;
    err_t err = op->machine.err;
    const char *sentence = op->sentence;
    if (!err_is(err)) {
        err = file_sink_finish(&job->file);
        sentence = NULL;
    }
    file_sink_close(&job->file);
    get->active--;
    if (err_is(err)) {
        session_fail(&get->session, what, err, sentence);
    } else {
        get->session.tally.succeeded++;
        get->session.progress.files_done++;
        report_found(job);
    }
    if (get->is_manifest)
        get_begin_next(job);
}

static err_t sink_begin(struct client_sink *sink, const struct client_op *op)
{
    struct file_sink *file = CONTAINER_OF(sink, struct file_sink, sink);
    if (file->progress && file->progress->files_total == 0)
        file->progress->bytes_total = op->reply.found.size;
    return ERR_OK;
}

static void job_start(struct get_job *job)
{
    struct get *get = job->get;
    const struct get_options *options = get->options;
    get->active++;
    job->file.sink.begin = sink_begin;
    job->op = (struct client_op){.done = job_done,
        .context = job,
        .type = MSG_FIND,
        .sink = &job->file.sink,
        .machine_only = (uint32_t)options->storage};
    job->op.request.find = (struct msg_find){.id = span_of_text(job->line.id),
        .offset = options->range.offset,
        .size = options->range.size,
        .if_version = options->if_version,
        .local_only = options->storage != 0};
    client_start(&get->session.client, &job->op);
}

/* Never write outside of the directory: not by the path, nor by links that lie in it. */
static bool job_take(struct get_job *job)
{
    struct get *get = job->get;
    if (!manifest_path_is_safe(job->line.path)) {
        session_fail(&get->session, job->line.path, ERR(USAGE, 0),
            "refused: this path of the manifest leads outside of the directory");
        return false;
    }
    err_t err = file_sink_open(&job->file, get->session.io, &get->session.owner, get->directory.fd,
        job->line.path, &get->session.progress);
    if (err_is(err))
        session_fail(&get->session, job->line.path, err,
            err.os == EXDEV || err.os == ELOOP
                ? "refused: a link on this path leads outside of the directory"
                : NULL);
    return !err_is(err);
}

static void get_begin_next(struct get_job *job)
{
    struct get *get = job->get;
    while (!get->session.was_interrupted
           && resume_next(&get->manifest, &get->manifest_at, &job->line)) {
        if (!job_take(job))
            continue;
        job_start(job);
        return;
    }
}

static void count_totals(struct get *get)
{
    struct manifest_line line;
    for (size_t at = 0; resume_next(&get->manifest, &at, &line);) {
        get->session.progress.files_total++;
        get->session.progress.bytes_total += line.size;
    }
    if (get->manifest.bad_count > 0)
        session_fail(&get->session, get->options->manifest, ERR(USAGE, 0),
            "some lines are malformed; the others are fetched");
    get->manifest.bad_count = 0;
}

static err_t open_directory(struct get *get, const char *path)
{
    struct io_op make = {
        .kind = IO_MKDIR, .fd = IO_FD_NONE, .path = path, .owner = &get->session.owner};
    int64_t result = io_call(get->session.io, &make);
    if (result < 0 && result != -EEXIST)
        return ERR_RESULT(result);
    struct io_op open = {.kind = IO_OPEN,
        .fd = IO_FD_NONE,
        .path = path,
        .open_flags = IO_OPEN_READ | IO_OPEN_DIRECTORY,
        .ret_handle = &get->directory,
        .handle_life = LIFE_PROCESS,
        .owner = &get->session.owner};
    result = io_call(get->session.io, &open);
    return result < 0 ? ERR_RESULT(result) : ERR_OK;
}

static void get_run(struct get *get, size_t job_count)
{
    for (size_t i = 0; i < job_count; i++) {
        get->jobs[i].get = get;
        get_begin_next(&get->jobs[i]);
    }
    while (get->active > 0)
        session_turn(&get->session);
    progress_clear(&get->session.progress);
    if (get->session.was_interrupted)
        session_note(&get->session, "interrupted: %" PRIu64 " files were fetched",
            get->session.tally.succeeded);
}

static err_t get_jobs(struct get *get, size_t count)
{
    void *jobs;
    TRY(mem_take(&get->session.mem, &get->session.owner, count * sizeof *get->jobs, 0, &jobs));
    get->jobs = jobs;
    return ERR_OK;
}

static void get_manifest(struct get *get)
{
    const struct get_options *options = get->options;
    get->is_manifest = true;
    err_t err = resume_open_to_read(
        &get->manifest, get->session.io, &get->session.mem, &get->session.owner, options->manifest);
    if (err_is(err)) {
        session_fail(&get->session, options->manifest, err, NULL);
        return;
    }
    count_totals(get);
    err = open_directory(get, options->output);
    if (!err_is(err))
        err = get_jobs(get, (size_t)options->jobs);
    if (err_is(err))
        session_fail(&get->session, options->output, err, NULL);
    else
        get_run(get, (size_t)options->jobs);
    mem_give(&get->session.mem, get->jobs);
    io_handle_close(get->session.io, &get->directory);
    resume_close(&get->manifest);
}

static void get_one(struct get *get, const char *id)
{
    err_t err = get_jobs(get, 1);
    if (err_is(err)) {
        session_fail(&get->session, id, err, NULL);
        return;
    }
    struct get_job *job = get->jobs;
    const char *path = get->options->output ? get->options->output : "-";
    job->get = get;
    if (!span_to_text(span_of_text(id), job->line.id, sizeof job->line.id)) {
        session_fail(&get->session, id, ERR(USAGE, 0), "this is no file id");
    } else if (!span_to_text(span_of_text(path), job->line.path, sizeof job->line.path)
               || err_is(err = file_sink_open(&job->file, get->session.io, &get->session.owner,
                             IO_FD_NONE, path, &get->session.progress))) {
        session_fail(&get->session, path, err_is(err) ? err : ERR(TOO_LARGE, 0), NULL);
    } else {
        job_start(job);
        while (get->active > 0)
            session_turn(&get->session);
        progress_clear(&get->session.progress);
    }
    mem_give(&get->session.mem, get->jobs);
}

static const char *options_problem(const struct get_options *options, int words)
{
    if (!options->manifest)
        return words == 1 ? NULL : "one ID is wanted (or -r MANIFEST -o DIR)";
    if (words > 0)
        return "with -r MANIFEST the ids come from the manifest: leave ID out";
    if (!options->output || strcmp(options->output, "-") == 0)
        return "-r MANIFEST wants a directory: -o DIR";
    if (options->has_range)
        return "--range is for one file";
    return NULL;
}

static int get_main(const struct verb *verb, int argc, char **argv)
{
    struct get_options options = {.common = COMMON_DEFAULT, .jobs = 8};
    int first;
    enum args_result parsed = args_parse(verb, argc, argv, &options, &first, stdout, stderr);
    if (parsed != ARGS_OK)
        return args_exit_code(parsed);
    const char *problem = options_problem(&options, argc - first);
    if (problem)
        return usage_exit(verb, problem);
    struct get get = {.options = &options, .directory = IO_HANDLE_NONE};
    uint32_t at_once = options.manifest ? (uint32_t)options.jobs : 1;
    int code = session_open(&get.session, "get", &options.common, at_once, at_once);
    if (code != 0)
        return code;
    if (options.manifest)
        get_manifest(&get);
    else
        get_one(&get, argv[first]);
    code = session_exit_code(&get.session);
    session_close(&get.session);
    return code;
}

static const struct arg rows[] = {
    {.name = "output",
        .letter = 'o',
        .kind = ARG_TEXT,
        .value = "FILE",
        .text = "write to FILE (default: -, standard output). With -r: the directory",
        .offset = offsetof(struct get_options, output)},
    {.name = "range",
        .kind = ARG_RANGE,
        .value = "A-B",
        .text = "only the bytes from A to B, both included, counted from 0; A- is\nto the end",
        .offset = offsetof(struct get_options, range),
        .offset_set = offsetof(struct get_options, has_range)},
    {.name = "storage",
        .kind = ARG_MACHINE,
        .value = "MACHINE",
        .text = "only this storage may answer, nothing is fetched from a peer",
        .offset = offsetof(struct get_options, storage)},
    {.name = "if-version",
        .kind = ARG_VERSION,
        .value = "V",
        .text = "only this version; another one is exit code 6",
        .offset = offsetof(struct get_options, if_version)},
    {.name = "recursive",
        .letter = 'r',
        .kind = ARG_TEXT,
        .value = "MANIFEST",
        .text = "all files of a manifest of cairn put, beneath -o DIR",
        .offset = offsetof(struct get_options, manifest)},
    {.name = "jobs",
        .letter = 'j',
        .kind = ARG_NUMBER,
        .value = "N",
        .text = "with -r: so many files at once (8)",
        .offset = offsetof(struct get_options, jobs),
        .min = 1,
        .max = JOBS_MAX},
    COMMON_ROWS(struct get_options),
};

const struct verb get_verb = {
    .name = "get",
    .brief = "fetch a file, a range of it, or all of a manifest",
    .usage = "ID [-o FILE] [--range A-B] [options]\n       cairn get -r MANIFEST -o DIR [options]",
    .about =
        "Fetches a file to standard output, or into FILE, which appears under its name only when\n"
        "it is whole and its checksum is right; until then it is FILE.cairn-part. If a storage "
        "fails meanwhile, the\n"
        "next mirror goes on with the next byte of the same version.\n"
        "With -r every file of the manifest is made beneath DIR; paths and links that lead\n"
        "outside of DIR are refused and named, the others are fetched (exit code 8).",
    .examples = "  cairn get g1/M00/00/01/AQAAAGcY... -o photo.jpg\n"
                "  cairn get ID -o - | tar t\n"
                "  cairn get ID --range 0-1023 -o head\n"
                "  cairn get -r photos.cairn -o copy",
    .args = {rows, ARRAY_LEN(rows)},
    .run = get_main,
};
