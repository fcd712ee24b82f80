#include "tests/unit/storage/hall.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <ftw.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc.h"
#include "io/signal.h"
#include "wire/frame.h"

/* ---- the storage ---- */

void hall_make(struct hall *hall, uint32_t mounts, uint32_t loops)
{
    *hall = (struct hall){.mount_count = mounts, .loops = loops, .descriptor_limit = 20000};
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(
        hall->directory, sizeof hall->directory, "%s/cairn-hall-XXXXXX", tmp ? tmp : "/tmp");
    EXPECT(mkdtemp(hall->directory) != NULL);
    for (uint32_t i = 0; i < mounts; i++)
        (void)snprintf(hall->mounts[i], sizeof hall->mounts[i], "%s/m%u", hall->directory, i);
    EXPECT_EQ(pthread_mutex_init(&hall->log_lock, NULL), 0);
    EXPECT_EQ(pipe(hall->signal_pipe), 0);
}

static int remove_entry(const char *path, const struct stat *stat, int flag, struct FTW *walk)
{
    (void)stat, (void)flag, (void)walk;
    return remove(path);
}

void hall_remove(struct hall *hall)
{
    EXPECT(!hall->is_up);
    (void)nftw(hall->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    (void)close(hall->signal_pipe[0]);
    (void)close(hall->signal_pipe[1]);
    (void)pthread_mutex_destroy(&hall->log_lock);
}

static void take_flag(struct hall *hall, const char *flag)
{
    char text[512];
    char *argv[] = {text};
    int at = 0;
    (void)snprintf(text, sizeof text, "%s", flag);
    err_t err = config_flag(hall->config, 1, argv, &at);
    if (err_is(err))
        (void)fprintf(stderr, "%s: %s\n", flag, config_problems(hall->config));
    EXPECT_OK(err);
}

static err_t configure(struct hall *hall)
{
    static const char *const flags[] = {"--machine=m007", "--group=g1", "--pool=photos",
        "--listen=127.0.0.1:0", "--chunk-size=4MiB", "--log-segment-size=1MiB", "--log-segments=8",
        "--log-buffer-size=256KiB", "--inline-max=16KiB", "--single-min=64KiB",
        "--piece-size=64KiB", "--checkpoint-bytes=4MiB", "--reserve=0", "--free-slots=256",
        "--drain-timeout=10s"};
    char text[256];
    hall->config = calloc(1, sizeof *hall->config);
    config_init(hall->config);
    config_add(hall->config, &storage_config_table, &hall->storage_config);
    for (size_t i = 0; i < ARRAY_LEN(flags); i++)
        take_flag(hall, flags[i]);
    for (uint32_t i = 0; i < hall->mount_count; i++) {
        (void)snprintf(text, sizeof text, "--mount=%s", hall->mounts[i]);
        take_flag(hall, text);
    }
    (void)snprintf(text, sizeof text, "--loops=%u", hall->loops);
    take_flag(hall, text);
    for (size_t i = 0; hall->flags[i]; i++)
        take_flag(hall, hall->flags[i]);
    storage_config_check(&hall->storage_config, hall->config);
    return config_finish(hall->config);
}

static void on_running(struct storage *storage, void *context)
{
    struct hall *hall = context;
    (void)storage;
    EXPECT_EQ(write(hall->signal_pipe[1], "r", 1), 1);
}

static void write_log(void *context, enum event_level level, struct span line)
{
    struct hall *hall = context;
    (void)level;
    (void)pthread_mutex_lock(&hall->log_lock);
    if (hall->log_size + line.size + 2 < sizeof hall->log) {
        memcpy(hall->log + hall->log_size, line.data, line.size);
        hall->log_size += line.size;
        hall->log[hall->log_size++] = '\n';
    }
    (void)pthread_mutex_unlock(&hall->log_lock);
    if (getenv("HALL_LOG"))
        (void)fprintf(stderr, "%.*s\n", (int)line.size, (const char *)line.data);
}

bool hall_logged(struct hall *hall, const char *part)
{
    (void)pthread_mutex_lock(&hall->log_lock);
    bool is_there = memmem(hall->log, hall->log_size, part, strlen(part)) != NULL;
    (void)pthread_mutex_unlock(&hall->log_lock);
    return is_there;
}

static void body(struct io *io, uint16_t index, void *context)
{
    struct hall *hall = context;
    storage_loop_enter(hall->storage, index, io, loop_group_io(&hall->group, 0));
    storage_loop_run(hall->storage, index);
    if (index == 0)
        EXPECT_EQ(write(hall->signal_pipe[1], "e", 1), 1);
}

static char wait_signal(struct hall *hall)
{
    char byte = 0;
    EXPECT_EQ(read(hall->signal_pipe[0], &byte, 1), 1);
    return byte;
}

static void give(struct hall *hall)
{
    free(hall->storage);
    free(hall->config);
    hall->storage = NULL;
    hall->config = NULL;
    hall->is_up = false;
}

err_t hall_start(struct hall *hall)
{
    EXPECT_OK(configure(hall));
    signal_block();
    hall->storage = calloc(1, sizeof *hall->storage);
    struct storage_options options = {.config = &hall->storage_config,
        .secrets = &hall->secrets,
        .processors = 2,
        .reserved_descriptors = 4,
        .descriptor_limit = hall->descriptor_limit,
        .write_log = write_log,
        .log_level = EVENT_INFO,
        .on_running = on_running,
        .context = hall};
    err_t err = storage_open(hall->storage, &options);
    if (!err_is(err)) {
        struct loop_group_options loops = {.count = hall->storage->loop_count, .entries = 256};
        err = loop_group_start(&hall->group, &loops, body, hall);
    }
    if (err_is(err)) {
        give(hall);
        return err;
    }
    hall->is_up = true;
    if (wait_signal(hall) == 'r')
        return ERR_OK;
    loop_group_join(&hall->group);
    err = storage_result(hall->storage);
    give(hall);
    return err;
}

static void stop_arrived(struct io *here, struct io_message *message)
{
    struct hall *hall = CONTAINER_OF(message, struct hall, stop);
    (void)here;
    storage_stop(hall->storage);
}

void hall_begin_stop(struct hall *hall)
{
    struct io *first = loop_group_io(&hall->group, 0);
    hall->stop.deliver = stop_arrived;
    io_post(first, first, &hall->stop);
}

void hall_join(struct hall *hall)
{
    EXPECT_EQ(wait_signal(hall), 'e');
    loop_group_join(&hall->group);
    EXPECT_OK(storage_result(hall->storage));
    give(hall);
}

void hall_stop(struct hall *hall)
{
    hall_begin_stop(hall);
    hall_join(hall);
}

static void fence_arrived(struct io *here, struct io_message *message)
{
    struct hall *hall = CONTAINER_OF(message, struct hall, fence);
    struct storage_loop *loop = &hall->storage->loops[here->loop_index];
    store_fence(&loop->store, hall->fence_mount, ERR(IO, 5));
}

void hall_fence(struct hall *hall, uint16_t loop, uint8_t mount)
{
    struct io *io = loop_group_io(&hall->group, loop);
    hall->fence_mount = mount;
    hall->fence.deliver = fence_arrived;
    io_post(io, io, &hall->fence);
}

pid_t hall_fork(struct hall *hall, uint16_t *ret_port)
{
    int port_pipe[2];
    EXPECT_EQ(pipe(port_pipe), 0);
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        EXPECT_OK(hall_start(hall));
        uint16_t port = storage_address(hall->storage)->port;
        EXPECT_EQ(write(port_pipe[1], &port, sizeof port), (ssize_t)sizeof port);
        for (;;)
            (void)pause();
    }
    (void)close(port_pipe[1]);
    EXPECT_EQ(read(port_pipe[0], ret_port, sizeof *ret_port), (ssize_t)sizeof *ret_port);
    (void)close(port_pipe[0]);
    return child;
}

unsigned hall_descriptors(void)
{
    unsigned count = 0;
    DIR *directory = opendir("/proc/self/fd");
    EXPECT(directory != NULL);
    while (readdir(directory))
        count++;
    (void)closedir(directory);
    return count;
}

/* ---- frames ---- */

static void send_all(struct visitor *visitor, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    while (size > 0) {
        ssize_t sent = send(visitor->fd, at, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* the receiver will see that it is closed */
        at += sent;
        size -= (size_t)sent;
    }
}

static void send_frame(struct visitor *visitor, uint8_t type, uint16_t flags, uint64_t id,
    struct span meta, struct span data)
{
    uint8_t header[FRAME_HEADER_SIZE];
    struct frame frame = {.request = id,
        .meta_size = (uint32_t)meta.size,
        .data_size = (uint32_t)data.size,
        .body_crc = crc32_update(crc32_update(0, meta.data, meta.size), data.data, data.size),
        .flags = flags,
        .type = type};
    frame_encode_header(&frame, header);
    send_all(visitor, header, sizeof header);
    send_all(visitor, meta.data, meta.size);
    send_all(visitor, data.data, data.size);
}

static bool receive_exactly(struct visitor *visitor, void *into, size_t size)
{
    uint8_t *at = into;
    while (size > 0) {
        ssize_t received = recv(visitor->fd, at, size, 0);
        if (received <= 0)
            return false;
        at += received;
        size -= (size_t)received;
    }
    return true;
}

uint64_t visitor_send(
    struct visitor *visitor, uint8_t type, const struct writer *meta, const void *data, size_t size)
{
    uint64_t id = ++visitor->next_id;
    send_frame(visitor, type, 0, id, span_of(meta->data, meta->size), span_of(data, size));
    return id;
}

static void note_error(struct visitor *visitor, struct reply *reply)
{
    struct msg_error error;
    EXPECT_OK(msg_error_decode(span_of(reply->meta, reply->meta_size), &error));
    reply->code = (int)error.code;
    (void)snprintf(visitor->error_text, sizeof visitor->error_text, "%.*s", (int)error.text.size,
        (const char *)error.text.data);
    visitor->error_version = error.version;
}

bool visitor_receive(struct visitor *visitor, struct reply *ret)
{
    uint8_t header[FRAME_HEADER_SIZE];
    struct frame frame;
    ret->size = 0;
    ret->code = 0;
    ret->data = visitor->buffer;
    for (bool is_first = true;; is_first = false) {
        if (!receive_exactly(visitor, header, sizeof header))
            return false;
        EXPECT_EQ(frame_decode_header(span_of(header, sizeof header), &frame), FRAME_OK);
        uint8_t meta[FRAME_META_MAX];
        EXPECT(frame.meta_size <= sizeof meta);
        EXPECT(ret->size + frame.data_size <= VISITOR_DATA_MAX);
        if (!receive_exactly(visitor, meta, frame.meta_size)
            || !receive_exactly(visitor, visitor->buffer + ret->size, frame.data_size))
            return false;
        uint32_t crc = crc32_update(0, meta, frame.meta_size);
        EXPECT_EQ(crc32_update(crc, visitor->buffer + ret->size, frame.data_size), frame.body_crc);
        if (is_first || frame.type == MSG_ERROR) {
            memcpy(ret->meta, meta, frame.meta_size);
            ret->meta_size = frame.meta_size;
            ret->type = frame.type;
            ret->request = frame.request;
        }
        EXPECT_EQ(ret->request, frame.request);
        ret->size += frame.data_size;
        if (frame.type == MSG_ERROR)
            note_error(visitor, ret);
        if (!(frame.flags & FRAME_MORE))
            return true;
    }
}

void visitor_open(struct visitor *visitor, const struct hall *hall)
{
    visitor_open_port(visitor, storage_address(hall->storage)->port);
}

void visitor_open_port(struct visitor *visitor, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    uint8_t bytes[256];
    struct writer w = {.data = bytes, .capacity = sizeof bytes};
    struct reply *reply = malloc(sizeof *reply);
    *visitor = (struct visitor){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    visitor->buffer = malloc(VISITOR_DATA_MAX);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(visitor->fd, (struct sockaddr *)&to, sizeof to), 0);
    msg_hello_encode(
        &(struct msg_hello){.version_min = 1, .version_max = 1, .role = ROLE_CLIENT}, &w);
    (void)visitor_send(visitor, MSG_HELLO, &w, NULL, 0);
    EXPECT(visitor_receive(visitor, reply));
    EXPECT_EQ(reply->type, MSG_WELCOME);
    free(reply);
}

void visitor_close(struct visitor *visitor)
{
    (void)close(visitor->fd);
    free(visitor->buffer);
    visitor->buffer = NULL;
}

/* ---- verbs ---- */

static uint8_t meta_bytes[FRAME_META_MAX];

static struct writer fields(void)
{
    return (struct writer){.data = meta_bytes, .capacity = sizeof meta_bytes};
}

static struct reply answer;

static int ask(struct visitor *visitor, uint8_t type, const struct writer *meta, uint8_t wanted)
{
    uint64_t id = visitor_send(visitor, type, meta, NULL, 0);
    if (!visitor_receive(visitor, &answer))
        return ERR_CODE_CLOSED;
    EXPECT_EQ(answer.request, id);
    if (answer.code == 0)
        EXPECT_EQ(answer.type, wanted);
    return answer.code;
}

static void send_body(struct visitor *visitor, uint8_t type, const struct writer *meta,
    const uint8_t *data, size_t size, size_t frame_size)
{
    uint64_t id = ++visitor->next_id;
    size_t at = 0;
    do {
        size_t piece = size - at < frame_size ? size - at : frame_size;
        bool is_first = at == 0;
        at += piece;
        send_frame(visitor, is_first ? type : MSG_DATA, at < size ? FRAME_MORE : 0, id,
            is_first ? span_of(meta->data, meta->size) : span_of(NULL, 0),
            piece ? span_of(data + at - piece, piece) : span_of(NULL, 0));
    } while (at < size);
}

static struct nonce make_nonce(struct visitor *visitor)
{
    static uint64_t count;
    struct nonce nonce = {{0}};
    uint64_t parts[2] = {++count, (uint64_t)(uintptr_t)visitor};
    memcpy(nonce.bytes, parts, sizeof parts);
    return nonce;
}

static struct writer upload_fields(struct visitor *visitor, size_t size, const struct put *put)
{
    struct writer w = fields();
    msg_upload_encode(&(struct msg_upload){.pool = span_of_text(put->pool ? put->pool : ""),
                          .nonce = nonce_is_none(&put->nonce) ? make_nonce(visitor) : put->nonce,
                          .is_retry = put->is_retry,
                          .ack = put->ack ? put->ack : ACK_LOCAL,
                          .is_mutable = put->is_mutable,
                          .size_known = !put->size_unknown,
                          .size = put->size_unknown ? 0 : size,
                          .suffix = span_of_text(put->suffix ? put->suffix : "bin"),
                          .content_type = span_of_text("text/x-test")},
        &w);
    return w;
}

static int receive_uploaded(
    struct visitor *visitor, char id[FID_TEXT_MAX], struct msg_uploaded *uploaded)
{
    if (!visitor_receive(visitor, &answer))
        return ERR_CODE_CLOSED;
    if (answer.code)
        return answer.code;
    struct msg_uploaded result;
    EXPECT_EQ(answer.type, MSG_UPLOADED);
    EXPECT_OK(msg_uploaded_decode(span_of(answer.meta, answer.meta_size), &result));
    EXPECT(span_to_text(result.id, id, FID_TEXT_MAX));
    if (uploaded)
        *uploaded = result;
    return 0;
}

int visitor_put(struct visitor *visitor, const void *data, size_t size, const struct put *put,
    char id[FID_TEXT_MAX], struct msg_uploaded *uploaded)
{
    static const struct put plain;
    put = put ? put : &plain;
    struct writer w = upload_fields(visitor, size, put);
    size_t frame_size = put->frame_size ? put->frame_size : FRAME_DATA_MAX;
    send_body(visitor, MSG_UPLOAD, &w, data, size, frame_size);
    return receive_uploaded(visitor, id, uploaded);
}

void visitor_put_begin(
    struct visitor *visitor, const void *data, size_t size, const struct put *put, size_t part)
{
    struct writer w = upload_fields(visitor, size, put);
    send_frame(visitor, MSG_UPLOAD, FRAME_MORE, ++visitor->next_id, span_of(w.data, w.size),
        span_of(data, part));
}

int visitor_put_end(struct visitor *visitor, const void *rest, size_t size, char id[FID_TEXT_MAX])
{
    send_frame(visitor, MSG_DATA, 0, visitor->next_id, span_of(NULL, 0), span_of(rest, size));
    return receive_uploaded(visitor, id, NULL);
}

int visitor_get(struct visitor *visitor, const char *id, uint64_t offset, uint64_t size,
    struct span *ret, struct msg_found *found)
{
    struct writer w = fields();
    struct msg_found ignored;
    msg_find_encode(&(struct msg_find){.id = span_of_text(id), .offset = offset, .size = size}, &w);
    int code = ask(visitor, MSG_FIND, &w, MSG_FOUND);
    if (code)
        return code;
    EXPECT_OK(msg_found_decode(span_of(answer.meta, answer.meta_size), found ? found : &ignored));
    *ret = span_of(answer.data, answer.size);
    return 0;
}

int visitor_modify(struct visitor *visitor, const char *id, uint8_t mode, uint64_t offset,
    const void *data, size_t size, struct version if_version, struct msg_modified *ret)
{
    struct writer w = fields();
    struct msg_modified ignored;
    msg_modify_encode(&(struct msg_modify){.id = span_of_text(id),
                          .nonce = make_nonce(visitor),
                          .ack = ACK_LOCAL,
                          .mode = mode,
                          .offset = offset,
                          .size_known = 1,
                          .size = size,
                          .if_version = if_version},
        &w);
    send_body(visitor, MSG_MODIFY, &w, data, size, FRAME_DATA_MAX);
    if (!visitor_receive(visitor, &answer))
        return ERR_CODE_CLOSED;
    if (answer.code)
        return answer.code;
    EXPECT_EQ(answer.type, MSG_MODIFIED);
    EXPECT_OK(msg_modified_decode(span_of(answer.meta, answer.meta_size), ret ? ret : &ignored));
    return 0;
}

int visitor_delete(struct visitor *visitor, const char *id, bool *ret_existed)
{
    struct writer w = fields();
    struct msg_deleted deleted;
    msg_delete_encode(
        &(struct msg_delete){
            .id = span_of_text(id), .nonce = make_nonce(visitor), .ack = ACK_LOCAL},
        &w);
    int code = ask(visitor, MSG_DELETE, &w, MSG_DELETED);
    if (code)
        return code;
    EXPECT_OK(msg_deleted_decode(span_of(answer.meta, answer.meta_size), &deleted));
    if (ret_existed)
        *ret_existed = deleted.existed;
    return 0;
}

int visitor_stat(struct visitor *visitor, const char *id, struct msg_stated *ret)
{
    struct writer w = fields();
    msg_stat_encode(&(struct msg_stat){.id = span_of_text(id)}, &w);
    int code = ask(visitor, MSG_STAT, &w, MSG_STATED);
    if (code)
        return code;
    EXPECT_OK(msg_stated_decode(span_of(answer.meta, answer.meta_size), ret));
    return 0;
}

size_t visitor_list(struct visitor *visitor, char *ids, size_t count_max, uint32_t page)
{
    uint8_t cursor[64];
    size_t cursor_size = 0, count = 0;
    do {
        struct writer w = fields();
        struct msg_listed listed;
        msg_list_encode(
            &(struct msg_list){.cursor = span_of(cursor, cursor_size), .count_max = page}, &w);
        EXPECT_EQ(ask(visitor, MSG_LIST, &w, MSG_LISTED), 0);
        EXPECT_OK(msg_listed_decode(span_of(answer.meta, answer.meta_size), &listed));
        EXPECT(listed.cursor.size <= sizeof cursor);
        cursor_size = listed.cursor.size;
        if (cursor_size)
            memcpy(cursor, listed.cursor.data, cursor_size);
        struct reader r = {.data = answer.data, .size = answer.size};
        for (uint32_t i = 0; i < listed.count; i++) {
            struct span id = read_text(&r);
            (void)reader_take(&r, 8 + 8 + 12);
            EXPECT(!r.failed && count < count_max);
            EXPECT(span_to_text(id, ids + count++ * FID_TEXT_MAX, FID_TEXT_MAX));
        }
        EXPECT_EQ(r.at, r.size);
    } while (cursor_size > 0);
    return count;
}

const char *visitor_status(struct visitor *visitor)
{
    struct writer w = fields();
    msg_status_encode(&(struct msg_status){.what = span_of_text("status")}, &w);
    EXPECT_EQ(ask(visitor, MSG_STATUS, &w, MSG_STATUS_REPLY), 0);
    visitor->buffer[answer.size] = '\0';
    return (const char *)visitor->buffer;
}

int visitor_ping(struct visitor *visitor)
{
    struct writer w = fields();
    return ask(visitor, MSG_PING, &w, MSG_PONG);
}

void bytes_make(uint8_t *data, size_t size, uint64_t seed)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
    for (size_t i = 0; i < size; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        data[i] = (uint8_t)x;
    }
}
