/* The tracker's FastDFS door: whom a client of FastDFS should ask. doc/fastdfs.md.
 *
 *   store          QUERY upload; the group is told with the answer
 *   fetch          QUERY find            update     QUERY modify: the source first
 *   lists, states  fdfs_list.c
 *
 * Only storages that have a FastDFS door are named. */
#include "tracker/fdfs.h"

#include "base/units.h"

static const char DEFAULT_POOL[] = "default";

void fdfs_host_of(const char *address, char ret[REGISTRY_ADDRESS_MAX])
{
    const char *begin = address[0] == '[' ? address + 1 : address;
    const char *end = address[0] == '[' ? strchr(begin, ']') : strrchr(begin, ':');
    size_t size = end ? (size_t)(end - begin) : strlen(begin);
    memcpy(ret, begin, size);
    ret[size] = '\0';
}

static void answer(struct fdfs_request *request, uint8_t status, struct span body)
{
    struct tracker *tracker = request->server->config.role;
    tracker->counters.fastdfs_refused += status != FDFS_OK;
    fdfs_reply(request, status, body);
    fdfs_request_end(request);
}

/* ---- whom to ask ---- */

/* Those with a FastDFS door, all of the first one's group; their hosts. */
struct named {
    const struct registry_named *storages[REGISTRY_ANSWER_MAX];
    char hosts[REGISTRY_ANSWER_MAX][REGISTRY_ADDRESS_MAX];
    const char *addresses[REGISTRY_ANSWER_MAX];
    uint32_t count;
};

static void choose(const struct registry_answer *from, struct named *ret)
{
    ret->count = 0;
    for (uint32_t i = 0; i < from->count; i++) {
        const struct registry_named *storage = &from->storages[i];
        if (storage->fastdfs_port == 0
            || (ret->count > 0 && strcmp(storage->group, ret->storages[0]->group) != 0))
            continue;
        fdfs_host_of(storage->address, ret->hosts[ret->count]);
        ret->addresses[ret->count] = ret->hosts[ret->count];
        ret->storages[ret->count++] = storage;
    }
}

/* G, then one or all addresses with their ports, then for stores the index of a path: the storage
 * chooses that by itself. */
static void write_named(
    const struct named *named, bool is_wide, bool is_all, bool is_store, struct writer *w)
{
    uint32_t count = is_all ? named->count : 1;
    size_t size = is_wide ? FDFS_IPV6_TEXT : fdfs_address_size(named->addresses, count);
    fdfs_write_padded(w, span_of_text(named->storages[0]->group), FDFS_GROUP_SIZE);
    for (uint32_t i = 0; i < count; i++) {
        fdfs_write_padded(w, span_of_text(named->addresses[i]), size);
        fdfs_write_number(w, named->storages[i]->fastdfs_port);
    }
    if (is_store)
        write_u8(w, 0);
}

/* Nobody who could: FastDFS knows no word for "not yet". */
static uint8_t status_of(err_t err)
{
    return err_has(err, ERR_CODE_UNAVAILABLE) ? FDFS_ENOENT : fdfs_status_of(err);
}

static void tell(struct fdfs_request *request, const struct msg_query *query, bool is_all)
{
    struct tracker *tracker = request->server->config.role;
    struct registry_answer found;
    struct named named = {.count = 0};
    struct msg_query other = *query;
    uint8_t bytes[FDFS_REPLY_BODY_MAX];
    struct writer w = {bytes, sizeof bytes, 0, false};
    err_t err = registry_query(&tracker->registry, query, &found);
    if (err_has(err, ERR_CODE_USAGE) && query->purpose == QUERY_UPLOAD) {
        other.pool = span_of_text(DEFAULT_POOL); /* there are several, and none was named */
        err = registry_query(&tracker->registry, &other, &found);
    }
    if (!err_is(err))
        choose(&found, &named);
    if (err_is(err) || named.count == 0) {
        answer(request, err_is(err) ? status_of(err) : FDFS_ENOENT, span_of(NULL, 0));
        return;
    }
    write_named(&named, tracker->config.fastdfs_wide, is_all, query->purpose == QUERY_UPLOAD, &w);
    CHECK(!w.failed);
    answer(request, FDFS_OK, span_of(bytes, w.size));
}

static void tell_store(struct fdfs_request *request)
{
    const struct fdfs_head *head = &request->head;
    bool is_all = head->command == FDFS_STORE_ALL || head->command == FDFS_STORE_GROUP_ALL;
    bool has_group = head->command == FDFS_STORE_GROUP || head->command == FDFS_STORE_GROUP_ALL;
    if (has_group && !group_name_is_valid(head->group))
        answer(request, FDFS_EINVAL, span_of(NULL, 0));
    else
        tell(request, &(struct msg_query){.purpose = QUERY_UPLOAD, .group = head->group}, is_all);
}

static void tell_file(struct fdfs_request *request)
{
    const struct fdfs_head *head = &request->head;
    uint32_t source;
    if (!group_name_is_valid(head->group) || !fdfs_name_source(head->name, &source)) {
        answer(request, FDFS_EINVAL, span_of(NULL, 0));
        return;
    }
    struct msg_query query = {.purpose = head->command == FDFS_UPDATE ? QUERY_MODIFY : QUERY_FIND,
        .group = head->group,
        .origin = source};
    tell(request, &query, head->command == FDFS_FETCH_ALL);
}

/* ---- lists ---- */

static void page_sent(struct exchange *exchange, err_t err)
{
    struct fdfs_request *request = fdfs_request_of(exchange);
    struct tracker *tracker = request->server->config.role;
    (void)err; /* nobody is there any more: nothing to do about it */
    pool_give(&tracker->fdfs_pages, exchange->op);
    fdfs_request_end(request);
}

static void tell_list(struct fdfs_request *request)
{
    struct tracker *tracker = request->server->config.role;
    uint8_t *page = pool_take(&tracker->fdfs_pages, &tracker->fdfs.exchange.acceptor.owner);
    if (!page) {
        answer(request, FDFS_EBUSY, span_of(NULL, 0));
        return;
    }
    struct writer w = {page, fdfs_page_size(&tracker->tables), 0, false};
    uint8_t status = fdfs_list(tracker, &request->head, &w);
    CHECK(!w.failed);
    if (status != FDFS_OK) {
        pool_give(&tracker->fdfs_pages, page);
        answer(request, status, span_of(NULL, 0));
        return;
    }
    request->exchange.op = page;
    fdfs_reply_begin(request, w.size, span_of(page, w.size), page_sent);
}

/* ---- the door ---- */

static void on_request(struct fdfs_server *server, struct fdfs_request *request)
{
    struct tracker *tracker = server->config.role;
    tracker->counters.fastdfs_requests++;
    switch (request->head.command) {
    case FDFS_PING:
        answer(request, FDFS_OK, span_of(NULL, 0));
        break;
    case FDFS_STORE:
    case FDFS_STORE_ALL:
    case FDFS_STORE_GROUP:
    case FDFS_STORE_GROUP_ALL:
        tell_store(request);
        break;
    case FDFS_FETCH:
    case FDFS_FETCH_ALL:
    case FDFS_UPDATE:
        tell_file(request);
        break;
    case FDFS_LIST_GROUP:
    case FDFS_LIST_GROUPS:
    case FDFS_LIST_STORAGES:
    case FDFS_DELETE_STORAGE:
    case FDFS_DELETE_GROUP:
    case FDFS_STORAGE_ID:
    case FDFS_STORAGE_IDS:
    case FDFS_STORAGE_STATUS:
    case FDFS_PARAMETERS:
        tell_list(request);
        break;
    case FDFS_SET_TRUNK:
    case FDFS_LEADER:
    case FDFS_TRACKER_STAT:
    case FDFS_STORAGE_STAT:
    case FDFS_VOLUME_STAT:
        answer(request, FDFS_EOPNOTSUPP, span_of(NULL, 0));
        break;
    default:
        answer(request, FDFS_EINVAL, span_of(NULL, 0));
    }
}

err_t tracker_fdfs_start(struct tracker *tracker)
{
    const struct tracker_config *config = &tracker->config;
    if (config->fastdfs_address.family == 0)
        return ERR_OK;
    TRY(pool_init(&tracker->fdfs_pages, tracker->mem, &tracker->io->ledger, "tracker.lists",
        fdfs_page_size(&tracker->tables), FDFS_PAGES, 0, &tracker->owner));
    tracker->has_fdfs_pages = true;
    TRY(fdfs_server_start(&tracker->fdfs, &tracker->loop,
        &(struct fdfs_server_config){.exchange = {.address = config->fastdfs_address,
                                         .listen_count = 1,
                                         .connection_max = config->fastdfs_connection_max,
                                         .idle_timeout_ns = config->idle_ns,
                                         .head_timeout_ns = 10 * NS_PER_S,
                                         .send_timeout_ns = 10 * NS_PER_S},
            .on_request = on_request,
            .role = tracker}));
    tracker->has_fdfs = true;
    return ERR_OK;
}

void tracker_fdfs_give_back(struct tracker *tracker)
{
    if (tracker->has_fdfs)
        fdfs_server_fini(&tracker->fdfs);
    if (tracker->has_fdfs_pages)
        pool_fini(&tracker->fdfs_pages);
}
