/* The HTTP door into a loop of a storage. doc/http.md.
 *
 *   GET, HEAD /<id>                        find; ranges, conditions
 *   POST /<pool>, PUT /<pool>[/<name>]     upload; a browser's form too
 *   PUT /<id>                              replace; with Content-Range: write at an offset
 *   PATCH /<id>   Content-Range | ?append | ?truncate=N
 *   DELETE /<id>
 *   GET /metrics                           what the storage tells of itself (metrics.h)
 *   OPTIONS                                what a browser asks beforehand
 *
 * Changes run on the loop that owns the file: the connection moves there; so does a find that met what
 * only the owner can judge. Errors are short JSON: { "status", "error", "message" }. */
#ifndef CAIRN_STORAGE_HTTP_DOOR_H
#define CAIRN_STORAGE_HTTP_DOOR_H

#include "net/http_server.h"
#include "storage/door.h"
#include "storage/elsewhere.h"
#include "storage/operation.h"
#include "wire/auth.h"
#include "wire/http_form.h"

struct storage_loop;

/* Requests that go to another storage at one time, of each loop; above they are redirected. */
enum { HTTP_TUNNELS_MAX = 16 };

struct http_door {
    struct door door;
    struct http_server server;
    struct elsewhere elsewhere;
    uint32_t tunnel_count;
};

struct storage_config;

/** Bytes of memory that the door of one loop takes; 0 when it is not wanted. */
uint64_t http_door_bytes(const struct storage_config *config, uint32_t connection_max);

/** Connections that the door of one loop may open: to a tracker, and to other storages. */
uint32_t http_door_connections(const struct storage_config *config);

/** Take memory; nothing to do when the configuration names no address. Errors: BUSY, NO_RESOURCE;
 * nothing is held then. */
MUST err_t http_door_open(struct http_door *door, struct storage_loop *loop);
/** Listen: loop 0 where the configuration says, the others where loop 0 does. Errors: those of
 * listening. */
MUST err_t http_door_listen(struct http_door *door);
/** As door_cut() and door_drain(); nobody is asked any more where anything is. */
void http_door_cut(struct http_door *door);
void http_door_drain(struct http_door *door);
bool http_door_is_idle(const struct http_door *door);

#endif
