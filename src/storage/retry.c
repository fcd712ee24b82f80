#include "storage/retry.h"

#include "storage/server.h"

static struct upload *find_under_way(struct store *store, const struct nonce *nonce)
{
    LIST_EACH (node, &store->uploads) {
        struct upload *upload = CONTAINER_OF(node, struct upload, link);
        if (memcmp(&upload->request.nonce, nonce, sizeof *nonce) == 0 && !upload->is_superseded)
            return upload;
    }
    return NULL;
}

static void travel(struct io *here, struct io_message *message);

static void go_to(struct upload_ask *ask, struct storage_loop *next)
{
    struct storage_loop *from = ask->at;
    ask->at = next;
    ask->message.deliver = travel;
    io_post(from->io, next->io, &ask->message);
}

/* True: what there is to know here is known. False: it waits. */
static bool look(struct upload_ask *ask)
{
    struct store *store = &ask->at->store;
    struct upload *upload = find_under_way(store, &ask->nonce);
    if (upload && upload->append.buffer) {
        list_push_back(&store->asks, &ask->link);
        return false;
    }
    if (upload)
        upload->is_superseded = true;
    const struct recent_upload *known = recent_find(&store->recent, &ask->nonce);
    ask->is_known = known != NULL;
    if (known)
        ask->known = *known;
    return true;
}

static void visit(struct upload_ask *ask)
{
    struct storage *storage = ask->home->storage;
    if (ask->at->is_store_open && !look(ask))
        return;
    ask->visited++;
    uint16_t next = (uint16_t)((ask->home->index + ask->visited) % storage->loop_count);
    go_to(ask, ask->is_known ? ask->home : &storage->loops[next]);
}

static void travel(struct io *here, struct io_message *message)
{
    struct upload_ask *ask = CONTAINER_OF(message, struct upload_ask, message);
    (void)here;
    if (ask->is_known || ask->visited == ask->home->storage->loop_count)
        ask->answered(ask);
    else
        visit(ask);
}

void upload_ask_start(struct upload_ask *ask, struct storage_loop *home)
{
    ask->home = ask->at = home;
    ask->visited = 0;
    ask->is_known = false;
    go_to(ask, home);
}

void upload_asks_go_on(struct store *store)
{
    struct list waiting;
    list_init(&waiting);
    for (struct list *node; (node = list_pop_front(&store->asks)) != NULL;)
        list_push_back(&waiting, node);
    for (struct list *node; (node = list_pop_front(&waiting)) != NULL;)
        visit(CONTAINER_OF(node, struct upload_ask, link));
}
