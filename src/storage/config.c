#include "storage/config.h"

#include "base/units.h"
#include "disk/binlog.h"
#include "disk/slotmap.h"
#include "io/io.h"
#include "storage/push.h"
#include "wire/frame.h"

static const char *const balance_choices[] = {"loop", "maxdisk", "turn", "master", NULL};

static const char *const ack_choices[] = {"memory", "local", "one", "all", NULL};
static const char *const http_elsewhere_choices[] = {"refuse", "redirect", "proxy", NULL};
static const char *const http_access_choices[] = {"open", "signed", "off", NULL};

#define S struct storage_config
static const struct config_key keys[] = {
    {"machine", CONFIG_AT_TEXT(S, machine),
        .help = "number of this storage, in every file id: m001"},
    {"group", CONFIG_AT_TEXT(S, group),
        .help = "mirror set; every storage of it holds the same files"},
    {"pool", CONFIG_AT_TEXT(S, pool), .default_text = "default", .min = 1, .max = STORAGE_POOL_MAX,
        .help = "name space that clients upload to"},
    {"mount", CONFIG_AT_TEXT_LIST(S, mounts), .min = 1, .max = STORAGE_MOUNTS_MAX,
        .help = "data directory, or INDEX:DIRECTORY; normally one per disk"},
    {"listen", CONFIG_AT_ADDRESS(S, listen), .default_text = "127.0.0.1:7710",
        .help = "address of the native protocol; port 0: any"},
    {"advertise", CONFIG_AT_TEXT(S, advertise), .default_text = "",
        .help = "address told to trackers; none: the one that is listened on"},
    {"tracker", CONFIG_AT_ADDRESS_LIST(S, trackers), .default_text = "",
        .max = STORAGE_TRACKERS_MAX, .help = "tracker to report to"},
    {"loops", CONFIG_AT_INTEGER(S, loops), .default_text = "0", .max = STORAGE_LOOPS_MAX,
        .unit = "loops", .help = "threads; 0: one per processor"},
    {"streams", CONFIG_AT_INTEGER(S, streams), .default_text = "0", .max = 255, .unit = "streams",
        .help = "of a mount point, fixed when it is formatted; 0: one per loop"},
    {"balance", CONFIG_AT_ENUM(S, balance), .default_text = "loop", .choices = balance_choices,
        .help = "which mount point takes the next upload"},
    {"master_mount", CONFIG_AT_INTEGER(S, master_mount), .default_text = "0",
        .max = STORAGE_MOUNTS_MAX - 1, .unit = "index", .help = "for balance = master"},
    {"reserve", CONFIG_AT_AMOUNT(S, reserve), .default_text = "1%",
        .help = "free space of a mount point that uploads leave alone"},
    {"reserve_max", CONFIG_AT_SIZE(S, reserve_max), .default_text = "1GiB", .max = UINT64_MAX,
        .help = "a reserve in percent is never more than this"},
    {"chunk_size", CONFIG_AT_SIZE(S, chunk_size), .default_text = "64MiB", .min = CHUNK_SIZE_MIN,
        .max = CHUNK_SIZE_MAX, .help = "of a file that packs small files; fixed when formatted"},
    {"log_segment_size", CONFIG_AT_SIZE(S, log_segment_size), .default_text = "32MiB",
        .min = 64 * KIB, .max = 1 * GIB, .help = "of a binlog file; fixed when formatted"},
    {"log_segments", CONFIG_AT_INTEGER(S, log_segments), .default_text = "16",
        .min = LOG_SEGMENTS_MIN, .max = LOG_SEGMENTS_MAX, .unit = "segments",
        .help = "log budget of each stream"},
    {"log_buffer_size", CONFIG_AT_SIZE(S, log_buffer_size), .default_text = "1MiB", .min = 64 * KIB,
        .max = 64 * MIB, .help = "the largest commit; four per stream"},
    {"inline_max", CONFIG_AT_SIZE(S, inline_max), .default_text = "64KiB", .max = 2 * MIB,
        .help = "contents up to this travel in the log"},
    {"single_min", CONFIG_AT_SIZE(S, single_min), .default_text = "256KiB", .min = 4 * KIB,
        .max = SLOT_SIZE_MAX / 4, .help = "larger contents are files of their own"},
    {"piece_size", CONFIG_AT_SIZE(S, piece_size), .default_text = "256KiB", .min = 64 * KIB,
        .max = 2 * MIB, .help = "of a download, read at one time"},
    {"checkpoint_bytes", CONFIG_AT_SIZE(S, checkpoint_bytes), .default_text = "64MiB",
        .min = 64 * KIB, .max = 64 * GIB, .help = "of log, after which a checkpoint is taken"},
    {"slack", CONFIG_AT_AMOUNT(S, slack), .default_text = "0%", .percent_max = 1000, .max = 1 * GIB,
        .help = "room that mutable files get to grow in place"},
    {"mutable_files", CONFIG_AT_BOOL(S, mutable_files), .default_text = "yes",
        .help = "files may be modified unless the upload says otherwise"},
    {"ack", CONFIG_AT_ENUM(S, ack), .default_text = "local", .choices = ack_choices,
        .help = "how safe a change is when it is answered, unless the client says"},
    {"ack_timeout", CONFIG_AT_DURATION(S, ack_timeout_ns), .default_text = "5s",
        .min = 10 * NS_PER_MS, .max = NS_PER_HOUR,
        .help = "for mirrors to hold a change (ack one, all); then the answer says who does"},
    {"push_window", CONFIG_AT_TEXT(S, push_window), .default_text = "",
        .help = "time of day (UTC) in which mirrors are served: 22:00-06:00; none: always"},
    {"push_rate", CONFIG_AT_SIZE(S, push_rate), .default_text = "0", .max = TIB,
        .help = "bytes per second to all mirrors together; 0: no limit"},
    {"rebuild_rate", CONFIG_AT_SIZE(S, rebuild_rate), .default_text = "0", .max = TIB,
        .help =
            "bytes per second that are brought from mirrors to repair and rebuild; 0: no limit"},
    {"scrub_rate", CONFIG_AT_SIZE(S, scrub_rate), .default_text = "8MiB", .max = TIB,
        .help =
            "bytes per second that are read and verified in the background; 0: only when asked"},
    {"compare_interval", CONFIG_AT_DURATION(S, compare_interval_ns), .default_text = "60s",
        .max = 24 * NS_PER_HOUR,
        .help = "between comparisons with the mirrors; 0: only when asked"},
    {"push_buffers", CONFIG_AT_INTEGER(S, push_buffers), .default_text = "16",
        .min = PUSH_BUFFERS_MIN, .max = 4096, .unit = "buffers",
        .help = "of 384 KiB: on their way to mirrors"},
    {"peers_max", CONFIG_AT_INTEGER(S, peers_max), .default_text = "4", .min = 1,
        .max = MEMBERS_MAX, .unit = "mirrors", .help = "other storages of the group"},
    {"connection_max", CONFIG_AT_INTEGER(S, connection_max), .default_text = "256", .min = 4,
        .max = 65536, .unit = "connections", .help = "of each loop"},
    {"pipeline_max", CONFIG_AT_INTEGER(S, pipeline_max), .default_text = "64", .min = 1,
        .max = 4096, .unit = "requests", .help = "of one connection at one time"},
    {"request_max", CONFIG_AT_INTEGER(S, request_max), .default_text = "128", .min = 2, .max = 4096,
        .unit = "requests", .help = "of all connections of a loop at one time"},
    {"small_buffers", CONFIG_AT_INTEGER(S, small_buffers), .default_text = "64", .min = 2,
        .max = 65536, .unit = "buffers", .help = "of 16 KiB: small files being read"},
    {"work_buffers", CONFIG_AT_INTEGER(S, work_buffers), .default_text = "16", .min = 2,
        .max = 4096, .unit = "buffers",
        .help = "of single_min or piece_size: larger files in work"},
    {"modify_buffers", CONFIG_AT_INTEGER(S, modify_buffers), .default_text = "8", .min = 1,
        .max = 4096, .unit = "buffers", .help = "of single_min: files being modified"},
    {"receive_buffers", CONFIG_AT_INTEGER(S, receive_buffers), .default_text = "64", .min = 4,
        .max = 65536, .unit = "buffers", .help = "of 16 KiB, beside one per connection"},
    {"receive_large_buffers", CONFIG_AT_INTEGER(S, receive_large_buffers), .default_text = "16",
        .min = 2, .max = 4096, .unit = "buffers", .help = "of 268 KiB: large frames coming in"},
    {"chunk_files", CONFIG_AT_INTEGER(S, chunk_files), .default_text = "512", .min = 8,
        .max = 65536, .unit = "files", .help = "kept open by a loop"},
    {"free_slots", CONFIG_AT_INTEGER(S, free_slots), .default_text = "16384", .min = 16,
        .max = 1 << 24, .unit = "slots", .help = "free slots that a stream keeps in memory"},
    {"heartbeat_interval", CONFIG_AT_DURATION(S, heartbeat_interval_ns), .default_text = "1s",
        .min = 10 * NS_PER_MS, .max = NS_PER_MINUTE, .help = "between reports to a tracker"},
    {"member_wait", CONFIG_AT_DURATION(S, member_wait_ns), .default_text = "5s",
        .min = 10 * NS_PER_MS, .max = NS_PER_HOUR,
        .help = "a member of the group that cannot be reached for so long is not waited for"},
    {"claim", CONFIG_AT_DURATION(S, claim_ns), .default_text = "60s", .min = 10 * NS_PER_MS,
        .max = NS_PER_DAY,
        .help = "a member that is away for so long may be replaced by one with new disks"},
    {"alone", CONFIG_AT_BOOL(S, is_alone), .default_text = "no",
        .help = "with new disks: start although no tracker or member could be asked"},
    {"replace_lost", CONFIG_AT_BOOL(S, replace_lost), .default_text = "no",
        .help = "empty disks take the place of lost ones: format and fill them from the group"},
    {"idle_timeout", CONFIG_AT_DURATION(S, idle_timeout_ns), .default_text = "5m", .min = NS_PER_S,
        .max = NS_PER_DAY, .help = "after which a silent connection is closed"},
    {"send_timeout", CONFIG_AT_DURATION(S, send_timeout_ns), .default_text = "30s", .min = NS_PER_S,
        .max = NS_PER_HOUR, .help = "for a peer that takes nothing"},
    {"drain_timeout", CONFIG_AT_DURATION(S, drain_timeout_ns), .default_text = "20s",
        .max = NS_PER_HOUR,
        .help = "for requests to end when the storage stops; then they are cut"},
    {"fastdfs_listen", CONFIG_AT_TEXT(S, fastdfs_listen), .default_text = "",
        .help = "address of the FastDFS door, 127.0.0.1:23000; none: no FastDFS"},
    {"fastdfs_connection_max", CONFIG_AT_INTEGER(S, fastdfs_connection_max), .default_text = "256",
        .min = 4, .max = 65536, .unit = "connections", .help = "of each loop"},
    {"fastdfs_request_max", CONFIG_AT_INTEGER(S, fastdfs_request_max), .default_text = "64",
        .min = 2, .max = 4096, .unit = "requests",
        .help = "of all FastDFS connections of a loop at one time"},
    {"fastdfs_idle_timeout", CONFIG_AT_DURATION(S, fastdfs_idle_timeout_ns), .default_text = "60s",
        .min = NS_PER_S, .max = NS_PER_DAY,
        .help = "after which a silent FastDFS connection is closed"},
    {"fastdfs_wide", CONFIG_AT_BOOL(S, fastdfs_wide), .default_text = "no",
        .help = "addresses in answers have the size for IPv6, always: some clients want it"},
    {"http_listen", CONFIG_AT_TEXT(S, http_listen), .default_text = "",
        .help = "address of the HTTP door; none: no HTTP"},
    {"http_connection_max", CONFIG_AT_INTEGER(S, http_connection_max), .default_text = "256",
        .min = 4, .max = 65536, .unit = "connections", .help = "of each loop"},
    {"http_request_max", CONFIG_AT_INTEGER(S, http_request_max), .default_text = "64", .min = 2,
        .max = 4096, .unit = "requests",
        .help = "of all HTTP connections of a loop at one time; others stand in line"},
    {"http_idle_timeout", CONFIG_AT_DURATION(S, http_idle_timeout_ns), .default_text = "75s",
        .min = NS_PER_S, .max = NS_PER_DAY, .help = "between requests of one connection"},
    {"http_head_timeout", CONFIG_AT_DURATION(S, http_head_timeout_ns), .default_text = "10s",
        .min = 100 * NS_PER_MS, .max = NS_PER_HOUR, .help = "for the head of a request to come in"},
    {"http_read", CONFIG_AT_ENUM(S, http_read), .default_text = "open",
        .choices = http_access_choices,
        .help = "who may GET: signed wants http_secret_file or http_token_secret_file"},
    {"http_write", CONFIG_AT_ENUM(S, http_write), .default_text = "open",
        .choices = http_access_choices, .help = "who may store, modify and delete"},
    {"http_metrics", CONFIG_AT_BOOL(S, http_metrics), .default_text = "yes",
        .help = "does GET /metrics answer whoever reaches the HTTP door"},
    {"http_secret_file", CONFIG_AT_TEXT(S, http_secret_file), .default_text = "",
        .help = "secret of the signatures in URLs"},
    {"http_token_secret_file", CONFIG_AT_TEXT(S, http_token_secret_file), .default_text = "",
        .help = "FastDFS's http.anti_steal.secret_key: its ?token=&ts= are taken for signatures"},
    {"http_token_ttl", CONFIG_AT_DURATION(S, http_token_ttl_ns), .default_text = "15m",
        .min = NS_PER_S, .max = 365 * NS_PER_DAY, .help = "how long such a token is good"},
    {"http_elsewhere", CONFIG_AT_ENUM(S, http_elsewhere), .default_text = "redirect",
        .choices = http_elsewhere_choices,
        .help = "what becomes of requests for files and pools that other storages have"},
    {"http_cors", CONFIG_AT_TEXT(S, http_cors), .default_text = "",
        .help = "origins whose pages may use the HTTP door, * for all"},
    {"http_cache_mutable", CONFIG_AT_TEXT(S, http_cache_mutable), .default_text = "no-cache",
        .help = "Cache-Control of files that may change"},
    {"http_cache_immutable", CONFIG_AT_TEXT(S, http_cache_immutable),
        .default_text = "public, max-age=31536000, immutable",
        .help = "Cache-Control of files that never change"},
    {"client_secret_file", CONFIG_AT_TEXT(S, client_secret_file), .default_text = "",
        .help = "secret that clients must prove"},
    {"node_secret_file", CONFIG_AT_TEXT(S, node_secret_file), .default_text = "",
        .help = "secret that trackers and storages must prove"},
};
#undef S

const struct config_table storage_config_table = {"storage", keys, ARRAY_LEN(keys)};

/* ---- names and numbers ---- */

bool machine_parse(const char *text, uint32_t *ret)
{
    uint32_t number = 0;
    if (*text == 'm' || *text == 'M')
        text++;
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        number = number * 10 + (uint32_t)(*text - '0');
        if (number > MACHINE_MAX)
            return false;
    }
    if (number == 0)
        return false;
    *ret = number;
    return true;
}

static void check_names(struct storage_config *storage, struct config *config)
{
    if (storage->machine && !machine_parse(storage->machine, &storage->machine_number))
        config_problem(config, "machine = %s: not a machine number; write m001, up to m%d",
            storage->machine, MACHINE_MAX);
    if (storage->group && !group_name_is_valid(span_of_text(storage->group)))
        config_problem(config, "group = %s: a group's name is 1 to %d letters and digits",
            storage->group, GROUP_NAME_MAX);
}

static bool is_wildcard(const struct io_address *address)
{
    static const uint8_t none[sizeof address->bytes];
    return address->family != 0 && memcmp(address->bytes, none, sizeof none) == 0;
}

static void check_addresses(struct storage_config *storage, struct config *config)
{
    struct io_address address;
    if (err_is(io_address_parse(storage->listen, &storage->listen_address)))
        config_problem(config, "listen = %s: not an address; write 127.0.0.1:7710 or [::1]:7710",
            storage->listen);
    if (storage->fastdfs_listen[0] != '\0'
        && err_is(io_address_parse(storage->fastdfs_listen, &storage->fastdfs_address)))
        config_problem(config, "fastdfs_listen = %s: not an address; write 10.0.0.7:23000",
            storage->fastdfs_listen);
    if (storage->http_listen[0] != '\0'
        && err_is(io_address_parse(storage->http_listen, &storage->http_address)))
        config_problem(
            config, "http_listen = %s: not an address; write 127.0.0.1:7780", storage->http_listen);
    if (storage->advertise[0] != '\0' && err_is(io_address_parse(storage->advertise, &address)))
        config_problem(
            config, "advertise = %s: not an address; write 10.0.0.7:7710", storage->advertise);
    bool is_told = storage->advertise[0] == '\0' && storage->trackers.count > 0;
    if (is_told && is_wildcard(&storage->listen_address))
        config_problem(config,
            "listen = %s: trackers can't tell clients this address; give advertise = ADDRESS:PORT",
            storage->listen);
    storage->tracker_count = 0;
    for (size_t i = 0; i < storage->trackers.count; i++) {
        const char *text = storage->trackers.items[i];
        if (!err_is(io_address_parse(text, &address)))
            storage->tracker[storage->tracker_count++] = address;
        else
            config_problem(config, "tracker = %s: not an address; write 10.0.0.5:7700", text);
    }
}

/* ---- mount points ---- */

/* "3:/data" -> 3, "/data"; false: no index in front. */
static bool split_index(const char *text, uint32_t *ret_index, const char **ret_path)
{
    uint32_t index = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9' && index < 1000; at++)
        index = index * 10 + (uint32_t)(*at - '0');
    if (at == text || *at != ':')
        return false;
    *ret_index = index;
    *ret_path = at + 1;
    return true;
}

static bool mount_is_taken(
    const struct storage_config *storage, uint32_t index, const char *path, struct config *config)
{
    for (uint32_t i = 0; i < storage->mount_count; i++) {
        const struct storage_mount_config *other = &storage->mount[i];
        if (other->index == index)
            config_problem(config, "mount = %u:%s: index %u is that of %s; give each its own",
                index, path, index, other->path);
        else if (strcmp(other->path, path) == 0)
            config_problem(config, "mount = %s: given twice; leave one out", path);
        else
            continue;
        return true;
    }
    return false;
}

static void check_mount(struct storage_config *storage, size_t position, struct config *config)
{
    const char *text = storage->mounts.items[position], *path = text;
    uint32_t index = (uint32_t)position;
    (void)split_index(text, &index, &path);
    if (index >= STORAGE_MOUNTS_MAX) {
        config_problem(config, "mount = %s: the index is 0 to %d", text, STORAGE_MOUNTS_MAX - 1);
        return;
    }
    if (path[0] != '/') {
        config_problem(config,
            "mount = %s: the path must be absolute; write /srv/cairn or 1:/srv/cairn", text);
        return;
    }
    if (!mount_is_taken(storage, index, path, config))
        storage->mount[storage->mount_count++] =
            (struct storage_mount_config){.path = path, .index = (uint8_t)index};
}

static void check_master(const struct storage_config *storage, struct config *config)
{
    if (storage->balance != BALANCE_MASTER)
        return;
    for (uint32_t i = 0; i < storage->mount_count; i++)
        if (storage->mount[i].index == storage->master_mount)
            return;
    config_problem(config, "master_mount = %llu: no mount point has this index; name one that has",
        (unsigned long long)storage->master_mount);
}

/* ---- sizes ---- */

static void problem_size(struct config *config, const char *key, uint64_t size, const char *why,
    const char *remedy, uint64_t wanted)
{
    char data[256];
    struct text text;
    text_init(&text, data, sizeof data);
    text_add(&text, "%s = ", key);
    text_add_size(&text, size);
    text_add(&text, ": %s; %s ", why, remedy);
    text_add_size(&text, wanted);
    config_problem(config, "%s", text.data);
}

static void check_log(const struct storage_config *s, struct config *config)
{
    uint64_t largest = s->inline_max > s->single_min ? s->inline_max : s->single_min;
    if (s->log_buffer_size % LOG_PAGE != 0)
        config_problem(config, "log_buffer_size: must be a multiple of %d bytes", LOG_PAGE);
    if (s->log_segment_size % LOG_PAGE != 0)
        config_problem(config, "log_segment_size: must be a multiple of %d bytes", LOG_PAGE);
    if (s->log_buffer_size < largest + 64 * KIB)
        problem_size(config, "log_buffer_size", s->log_buffer_size,
            "too small for a record with single_min or inline_max bytes of content",
            "lower those, or give at least", largest + 64 * KIB);
    if (s->log_segment_size < s->log_buffer_size + LOG_PAGE)
        problem_size(config, "log_segment_size", s->log_segment_size,
            "smaller than one commit (log_buffer_size)", "give at least",
            s->log_buffer_size + LOG_PAGE);
    uint64_t budget = s->log_segment_size * (s->log_segments - 1);
    if (s->checkpoint_bytes > budget)
        problem_size(config, "checkpoint_bytes", s->checkpoint_bytes,
            "the log would be full before the first checkpoint",
            "raise log_segments, or give at most", budget);
}

static void check_contents(const struct storage_config *s, struct config *config)
{
    if (s->inline_max > s->single_min)
        problem_size(config, "inline_max", s->inline_max, "single files never travel in the log",
            "give at most single_min:", s->single_min);
    if (!chunk_size_is_valid(s->chunk_size))
        config_problem(config, "chunk_size: must be a multiple of %d bytes", SLOT_UNIT);
    uint64_t slot_max = s->single_min + SLOT_META_MAX + CHUNK_HEADER_SIZE;
    if (s->chunk_size < slot_max)
        problem_size(config, "chunk_size", s->chunk_size, "a file of single_min bytes does not fit",
            "lower single_min, or give at least", slot_max);
}

static void check_push(struct storage_config *storage, struct config *config)
{
    if (!push_window_parse(storage->push_window, &storage->push_window_parsed))
        config_problem(config, "push_window = %s: not a time of day; write 22:00-06:00 (UTC)",
            storage->push_window);
    if (storage->push_rate > 0 && storage->push_rate < PUSH_RATE_MIN)
        config_problem(config, "push_rate: give at least %d bytes per second, or 0 for no limit",
            PUSH_RATE_MIN);
}

static void check_http(const struct storage_config *s, struct config *config)
{
    bool has_secret = s->http_secret_file[0] != '\0';
    bool has_tokens = s->http_token_secret_file[0] != '\0';
    if (s->http_write == HTTP_ACCESS_SIGNED && !has_secret)
        config_problem(config, "http_write = signed: give http_secret_file, too");
    if (s->http_read == HTTP_ACCESS_SIGNED && !has_secret && !has_tokens)
        config_problem(
            config, "http_read = signed: give http_secret_file or http_token_secret_file, too");
    if (s->http_read != HTTP_ACCESS_SIGNED && has_tokens)
        config_problem(
            config, "http_token_secret_file: tokens are asked for with http_read = signed only");
}

void storage_config_check(struct storage_config *storage, struct config *config)
{
    check_names(storage, config);
    check_addresses(storage, config);
    storage->mount_count = 0;
    for (size_t i = 0; i < storage->mounts.count; i++)
        check_mount(storage, i, config);
    check_master(storage, config);
    check_log(storage, config);
    check_contents(storage, config);
    check_push(storage, config);
    check_http(storage, config);
}

uint64_t storage_reserve_bytes(const struct storage_config *storage, uint64_t total)
{
    if (!storage->reserve.is_percent)
        return storage->reserve.value;
    uint64_t reserve = total / 100 * storage->reserve.value;
    return reserve < storage->reserve_max ? reserve : storage->reserve_max;
}
