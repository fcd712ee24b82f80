#include "bin/cluster_view.h"

#include <jansson.h>

struct text_sink {
    struct client_sink sink;
    char *text;
    size_t size;
};

static err_t text_take(struct client_sink *sink, struct span data)
{
    struct text_sink *to = CONTAINER_OF(sink, struct text_sink, sink);
    if (data.size >= STATUS_TEXT_MAX - to->size)
        return ERR(TOO_LARGE, 0);
    memcpy(to->text + to->size, data.data, data.size);
    to->size += data.size;
    return ERR_OK;
}

static err_t text_begin(struct client_sink *sink, const struct client_op *op)
{
    (void)op;
    CONTAINER_OF(sink, struct text_sink, sink)->size = 0;
    return ERR_OK;
}

err_t status_fetch(struct session *session, const struct io_address *server, const char *what,
    struct client_op *op, char **ret_text)
{
    struct text_sink to = {.sink = {.take = text_take, .begin = text_begin}};
    void *block;
    *op = (struct client_op){.type = MSG_STATUS, .sink = &to.sink, .server = *server};
    op->request.status = (struct msg_status){.what = span_of_text(what)};
    TRY(mem_take(&session->mem, &session->owner, STATUS_TEXT_MAX, 0, &block));
    to.text = block;
    err_t err = session_run(session, op);
    if (err_is(err)) {
        mem_give(&session->mem, block);
        return err;
    }
    to.text[to.size] = '\0';
    *ret_text = to.text;
    return ERR_OK;
}

static bool text_of(const json_t *object, const char *key, char *ret, size_t size)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value && span_to_text(span_of_text(value), ret, size);
}

static uint64_t number_of(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (uint64_t)value : 0;
}

static bool storage_take(const json_t *object, struct cluster_storage *ret)
{
    char address[IO_ADDRESS_TEXT_MAX], life[CLUSTER_NAME_MAX];
    *ret = (struct cluster_storage){.machine = (uint32_t)number_of(object, "machine"),
        .age_ms = number_of(object, "age_ms"),
        .free_bytes = number_of(object, "free"),
        .total_bytes = number_of(object, "total"),
        .mounts_online = number_of(object, "mounts_online"),
        .mounts_total = number_of(object, "mounts_total"),
        .lag_records = number_of(object, "lag_records"),
        .lag_ms = number_of(object, "lag_ms")};
    if (!text_of(object, "address", address, sizeof address)
        || err_is(io_address_parse(address, &ret->address))
        || !text_of(object, "group", ret->group, sizeof ret->group)
        || !text_of(object, "pool", ret->pool, sizeof ret->pool)
        || !text_of(object, "state", ret->state, sizeof ret->state))
        return false;
    ret->is_running = strcmp(ret->state, "running") == 0;
    ret->is_draining = json_is_true(json_object_get(object, "draining"));
    ret->is_alive = text_of(object, "life", life, sizeof life) && strcmp(life, "alive") == 0;
    return true;
}

static void mark_first_of_groups(struct cluster_view *view)
{
    for (size_t i = 0; i < view->count; i++) {
        struct cluster_storage *storage = &view->storages[i];
        storage->is_first_of_group = storage->is_running;
        for (size_t k = 0; k < i; k++)
            if (view->storages[k].is_first_of_group
                && strcmp(view->storages[k].group, storage->group) == 0)
                storage->is_first_of_group = false;
    }
}

bool cluster_view_parse(struct cluster_view *view, const char *text)
{
    json_t *root = json_loads(text, 0, NULL), *storage;
    json_t *storages = json_object_get(root, "storages");
    size_t index;
    view->count = 0;
    json_array_foreach(storages, index, storage)
    {
        if (view->count < CLUSTER_STORAGES_MAX
            && storage_take(storage, &view->storages[view->count]))
            view->count++;
    }
    bool is_good = json_is_array(storages);
    json_decref(root);
    mark_first_of_groups(view);
    return is_good;
}

bool cluster_view_load(struct cluster_view *view, struct session *session)
{
    struct client_op op;
    struct io_address any = {.family = 0};
    char *text;
    err_t err = status_fetch(session, &any, "", &op, &text);
    if (err_is(err)) {
        session_fail(session, "tracker", err, op.sentence);
        return false;
    }
    bool is_good = cluster_view_parse(view, text);
    mem_give(&session->mem, text);
    if (!is_good)
        session_fail(session, "tracker", ERR(PROTOCOL, 0), "its status names no storages");
    return is_good;
}
