#include "storage/server.h"

#include "base/units.h"
#include "storage/internal.h"
#include "storage/metrics.h"

/* ---- sums ---- */

static err_t make_budget(struct storage *storage, uint32_t loops, uint32_t stream_count)
{
    struct storage_budget_request request = {.config = &storage->config,
        .loops = loops,
        .stream_count = stream_count,
        .reserved = storage->options.reserved_descriptors,
        .descriptor_limit = storage->options.descriptor_limit};
    return storage_budget(&request, &storage->budget);
}

err_t storage_open(struct storage *storage, const struct storage_options *options)
{
    memset(storage, 0, sizeof *storage); /* too large for a compound literal on the stack */
    storage->config = *options->config;
    storage->options = *options;
    storage->state = STATE_INITING;
    storage->filling = reconcile_filling();
    list_init(&storage->tour.waiters);
    contacts_init(&storage->contacts, storage);
    uint64_t loops = storage->config.loops ? storage->config.loops : options->processors;
    CHECK(loops > 0);
    TRY(make_budget(storage, (uint32_t)(loops < STORAGE_LOOPS_MAX ? loops : STORAGE_LOOPS_MAX), 0));
    storage->loop_count = (uint16_t)storage->budget.loops;
    storage->answers = storage->loop_count;
    storage->verb = STORAGE_ENTERED;
    return ERR_OK;
}

static void say_budget(struct storage *storage)
{
    struct storage_loop *first = &storage->loops[0];
    char data[768];
    struct text text;
    text_init(&text, data, sizeof data);
    storage_budget_print_descriptors(&storage->budget, &text);
    EVENT(&first->log, INFO, "budget", &first->owner, EVENT_TEXT("sum", text.data));
    text_init(&text, data, sizeof data);
    storage_budget_print_memory(&storage->budget, &text);
    EVENT(&first->log, INFO, "budget", &first->owner, EVENT_TEXT("sum", text.data));
}

/* ---- words from loop 0 ---- */

static void on_command(struct io *here, struct io_message *message)
{
    struct storage_word *word = CONTAINER_OF(message, struct storage_word, message);
    (void)here;
    word->loop->is_due = true;
}

static void send_word(struct storage *storage, uint16_t index, enum storage_verb verb)
{
    struct storage_loop *loop = &storage->loops[index];
    loop->command.loop = loop;
    loop->command.verb = verb;
    loop->command.address = storage->loops[0].server.address;
    loop->command.http_address = *storage_http_address(storage);
    loop->command.fastdfs_address = *storage_fastdfs_address(storage);
    loop->command.state = storage->run_state;
    loop->command.message.deliver = on_command;
    io_post(storage->loops[0].io, loop->io, &loop->command.message);
}

static void send_all(struct storage *storage, enum storage_verb verb)
{
    storage->verb = verb;
    storage->answers = storage->loop_count;
    for (uint16_t i = 0; i < storage->loop_count; i++)
        send_word(storage, i, verb);
}

static void send_listen(struct storage *storage)
{
    storage->verb = STORAGE_LISTEN;
    storage->answers = 1;
    send_word(storage, storage->listening, STORAGE_LISTEN);
}

/* ---- loop 0: what comes next ---- */

static void note_failure(struct storage *storage, err_t err, const char *why)
{
    if (err_is(storage->err))
        return;
    struct text text;
    storage->err = err;
    text_init(&text, storage->why, sizeof storage->why);
    text_add(&text, "%s", why);
    EVENT(&storage->loops[0].log, ERROR, "start_failed", &storage->loops[0].owner,
        EVENT_TEXT("why", storage->why), EVENT_ERR(err));
}

static void begin_stop(struct storage *storage)
{
    storage->is_stop_begun = true;
    storage->ready.is_waiting = false;
    storage->ready.readiness.state = STATE_CLOSING;
    beat_set_state(storage, STATE_CLOSING);
    beat_stop(storage);
    sight_stop(&storage->sight);
    send_all(storage, STORAGE_DRAIN);
}

static bool is_to_end(const struct storage *storage)
{
    return storage->is_stopping || err_is(storage->err);
}

static const char *why_no_mount(const struct storage *storage)
{
    for (uint32_t i = 0; i < storage->mounts.count; i++)
        if (err_is(storage->mounts.all[i].err))
            return storage->mounts.all[i].why;
    return "no mount point can be used";
}

static void all_opened(struct storage *storage)
{
    if (mounts_usable(&storage->mounts) == 0)
        note_failure(storage, storage->mounts.all[0].err, why_no_mount(storage));
    if (is_to_end(storage))
        begin_stop(storage);
    else
        send_listen(storage);
}

/* Clients reach the HTTP door where they reach the other one, unless it listens on one address. */
static void set_http_address(struct storage *storage, const struct io_address *told)
{
    static const uint8_t none[16];
    struct io_address address = *storage_http_address(storage);
    if (address.family == 0)
        return;
    if (memcmp(address.bytes, none, sizeof none) == 0)
        memcpy(address.bytes, told->bytes, sizeof address.bytes);
    (void)io_address_format(&address, storage->http_address);
}

static void set_address(struct storage *storage, struct io_address address)
{
    const char *advertise = storage->config.advertise;
    struct io_address wanted;
    if (advertise[0] != '\0' && !err_is(io_address_parse(advertise, &wanted))) {
        wanted.port = wanted.port ? wanted.port : address.port;
        address = wanted;
    }
    (void)io_address_format(&address, storage->address);
    set_http_address(storage, &address);
}

static void one_listens(struct storage *storage)
{
    storage->listening++;
    if (is_to_end(storage)) {
        begin_stop(storage);
    } else if (storage->listening < storage->loop_count) {
        send_listen(storage);
    } else {
        set_address(storage, storage->loops[0].server.address);
        beat_start(storage);
        beat_set_state(storage, STATE_ACCEPTING);
        ready_listening(storage, &storage->run_state);
        send_all(storage, STORAGE_RUN);
    }
}

static void all_run(struct storage *storage)
{
    struct storage_loop *first = &storage->loops[0];
    ready_running(storage);
    EVENT(&first->log, INFO, "running", &first->owner, EVENT_TEXT("address", storage->address),
        EVENT_NUMBER("loops", storage->loop_count),
        EVENT_NUMBER("mounts", mounts_usable(&storage->mounts)),
        EVENT_DURATION("start", io_now(first->io) - storage->started_ns));
    reconcile_run(&storage->reconcile);
    if (storage->options.has_kernel)
        sight_watch(&storage->sight);
    if (storage->options.on_running)
        storage->options.on_running(storage, storage->options.context);
    if (storage->is_stopping && !storage->is_stop_begun)
        begin_stop(storage);
}

static void all_answered(struct storage *storage)
{
    switch (storage->verb) {
    case STORAGE_ENTERED:
        storage->office = OFFICE_OPEN;
        break;
    case STORAGE_OPEN:
        all_opened(storage);
        break;
    case STORAGE_LISTEN:
        one_listens(storage);
        break;
    case STORAGE_RUN:
        all_run(storage);
        break;
    case STORAGE_DRAIN:
        send_all(storage, STORAGE_CLOSE);
        break;
    case STORAGE_CLOSE:
        storage->office = OFFICE_FINISH;
        break;
    case STORAGE_END:
        break;
    }
}

static void on_answer(struct io *here, struct io_message *message)
{
    struct storage_word *word = CONTAINER_OF(message, struct storage_word, message);
    struct storage *storage = word->loop->storage;
    (void)here;
    CHECK(storage->answers > 0 && word->verb == storage->verb);
    if (err_is(word->err))
        note_failure(storage, word->err, err_sentence(word->err.code));
    if (--storage->answers == 0)
        all_answered(storage);
}

void member_answer(struct storage_loop *loop, enum storage_verb verb)
{
    loop->answer.loop = loop;
    loop->answer.verb = verb;
    loop->answer.err = loop->err;
    loop->answer.message.deliver = on_answer;
    io_post(loop->io, loop->first, &loop->answer.message);
}

/* ---- loop 0: what is done outside of a turn ---- */

static err_t open_sight(struct storage *storage)
{
    struct sight_options options = {.loop_count = storage->loop_count,
        .machine = storage->config.machine_number,
        .mem = &storage->loops[0].mem,
        .log = &storage->loops[0].log,
        .descriptor_limit = storage->options.descriptor_limit,
        .process = storage->options.process,
        .has_kernel = storage->options.has_kernel};
    for (uint16_t i = 0; i < storage->loop_count; i++)
        options.loops[i] = storage->loops[i].io;
    return sight_open(&storage->sight, &options);
}

static err_t take_tables(struct storage *storage)
{
    struct storage_loop *first = &storage->loops[0];
    uint32_t mounts = storage->config.mount_count;
    void *block;
    TRY(mem_take(&first->mem, &first->owner, mounts * sizeof *storage->tour.mounts, 0, &block));
    storage->tour.mounts = block;
    TRY(mem_take(
        &first->mem, &first->owner, storage->loop_count * sizeof *storage->reports, 0, &block));
    storage->reports = block;
    TRY(mem_take(&first->mem, &first->owner,
        storage->loop_count * mounts * sizeof(struct storage_mount_report), 0, &block));
    for (uint16_t i = 0; i < storage->loop_count; i++)
        storage->reports[i].mounts = (struct storage_mount_report *)block + i * mounts;
    TRY(survey_init(&storage->survey, storage, &first->mem, &first->owner));
    TRY(metrics_open(storage, &first->mem, &first->owner));
    return open_sight(storage);
}

static void give_tables(struct storage *storage)
{
    struct mem *mem = &storage->loops[0].mem;
    sight_close(&storage->sight);
    survey_fini(&storage->survey, mem);
    metrics_close(storage);
    if (storage->reports)
        mem_give(mem, storage->reports[0].mounts);
    mem_give(mem, storage->reports);
    mem_give(mem, storage->tour.mounts);
}

/* Mount points that exist may have more streams than one would be formatted with now. */
static err_t check_streams(struct storage *storage)
{
    uint32_t streams = 0;
    for (uint32_t i = 0; i < storage->config.mount_count; i++)
        streams += storage->plan[i].is_usable ? storage->plan[i].stream_count : 0;
    err_t err = make_budget(storage, storage->loop_count, streams);
    if (!err_is(err) && storage->budget.loops != storage->loop_count)
        err = ERR(NO_RESOURCE, 0);
    if (err_is(err))
        note_failure(storage, err,
            "the limit of open files (ulimit -n) is too low for the streams of these mount points:"
            " raise it, or give loops = 1");
    return err;
}

static err_t open_office(struct storage *storage)
{
    struct storage_loop *first = &storage->loops[0];
    storage->started_ns = io_now(first->io);
    storage->started_wall_ns = io_wall(first->io);
    TRY(take_tables(storage));
    storage->has_mounts = true;
    err_t err = mounts_open(&storage->mounts, first->io, &first->mem, &first->owner,
        &storage->config, storage->budget.streams_at_format, &first->log);
    if (err_is(err)) {
        note_failure(storage, err, why_no_mount(storage));
        return err;
    }
    mounts_plan(&storage->mounts, storage->plan);
    memcpy(storage->uuid.bytes, storage->mounts.storage_uuid, UUID_SIZE);
    storage->incarnation = storage->mounts.incarnation;
    set_address(storage, storage->config.listen_address);
    err = membership_open(&storage->membership, storage);
    if (err_is(err)) {
        note_failure(storage, err, "cairn.members cannot be read by this version of cairn");
        return err;
    }
    err = names_open(&storage->names, storage);
    if (err_is(err)) {
        note_failure(storage, err, "cairn.names cannot be read by this version of cairn");
        return err;
    }
    storage->has_mirrors = roster_member_count(&storage->membership.roster) > 0;
    return check_streams(storage);
}

/* The streams may be opened now, or when trackers and members have been asked. */
static void open_or_wait(struct storage *storage)
{
    bool may_open = false;
    err_t err = ready_begin(storage, &may_open);
    if (err_is(err)) {
        note_failure(storage, err, err_sentence(err.code));
        begin_stop(storage);
    } else if (may_open) {
        send_all(storage, STORAGE_OPEN);
    }
}

static void wait_on(struct storage *storage)
{
    if (is_to_end(storage))
        begin_stop(storage);
    else if (ready_go_on(storage))
        send_all(storage, STORAGE_OPEN);
}

static void do_open(struct storage *storage)
{
    err_t err = storage->is_stopping ? ERR_OK : open_office(storage);
    if (err_is(err))
        note_failure(storage, err, err_sentence(err.code));
    say_budget(storage);
    if (is_to_end(storage))
        begin_stop(storage);
    else
        open_or_wait(storage);
}

static void do_finish(struct storage *storage)
{
    if (storage->has_mounts) {
        mounts_finish(&storage->mounts);
        mounts_close(&storage->mounts);
    }
    give_tables(storage);
    storage->state = STATE_CLOSED;
    EVENT(&storage->loops[0].log, INFO, "closed", &storage->loops[0].owner,
        EVENT_TEXT("cause", err_is(storage->err) ? "the start failed" : "asked to stop"));
    send_all(storage, STORAGE_END);
}

static void work_in_office(struct storage *storage)
{
    enum storage_office due = storage->office;
    storage->office = OFFICE_NONE;
    if (due == OFFICE_OPEN)
        do_open(storage);
    else if (due == OFFICE_FINISH)
        do_finish(storage);
}

/* ---- the caller's side ---- */

static void write_log(void *context, enum event_level level, struct span line)
{
    const struct storage_options *options = &((struct storage *)context)->options;
    if (options->write_log)
        options->write_log(options->context, level, line);
}

/* Without memory for it nothing is recorded. */
static void begin_recorder(struct storage_loop *loop)
{
    void *recorder;
    err_t err = mem_take(&loop->mem, &loop->owner, sizeof(struct recorder), 0, &recorder);
    if (!err_is(err))
        loop->io->run.recorder = recorder;
}

void storage_loop_enter(struct storage *storage, uint16_t index, struct io *io, struct io *first)
{
    struct storage_loop *loop = &storage->loops[index];
    CHECK(index < storage->loop_count);
    loop->storage = storage;
    loop->index = index;
    loop->io = io;
    loop->first = first;
    loop->state = STATE_INITING;
    mem_init(&loop->mem, &io->ledger);
    owner_open(&loop->owner, "storage", DIRECTION_OWN, io_now(io));
    if (storage->options.has_kernel)
        begin_recorder(loop);
    event_log_init(&loop->log, write_log, storage);
    loop->log.level = storage->options.log_level;
    loop->log.is_json = storage->options.log_is_json;
    loop->log.machine = storage->config.machine_number;
    loop->log.now_ns = &io->now_ns;
    member_answer(loop, STORAGE_ENTERED);
}

bool storage_loop_step(struct storage *storage, uint16_t index)
{
    struct storage_loop *loop = &storage->loops[index];
    if (index == 0 && storage->office != OFFICE_NONE)
        work_in_office(storage);
    else if (index == 0 && storage->ready.is_waiting)
        wait_on(storage);
    if (loop->is_due) {
        loop->is_due = false;
        member_obey(loop);
    }
    member_go_on(loop);
    return loop->phase != STORAGE_PHASE_OVER;
}

void storage_loop_run(struct storage *storage, uint16_t index)
{
    while (storage_loop_step(storage, index))
        io_turn(storage->loops[index].io, true);
}

void storage_stop(struct storage *storage)
{
    storage->is_stopping = true;
    bool is_running = storage->verb == STORAGE_RUN && storage->answers == 0;
    if (is_running && !storage->is_stop_begun)
        begin_stop(storage);
}

err_t storage_result(const struct storage *storage)
{
    return storage->err;
}

const struct io_address *storage_address(const struct storage *storage)
{
    return &storage->loops[0].server.address;
}

const struct io_address *storage_http_address(const struct storage *storage)
{
    return &storage->loops[0].http.server.exchange.acceptor.listener.address;
}

const struct io_address *storage_fastdfs_address(const struct storage *storage)
{
    return &storage->loops[0].fdfs.server.exchange.acceptor.listener.address;
}

struct storage_loop *storage_loop_of(const struct net_server *server)
{
    return server->config.role;
}
