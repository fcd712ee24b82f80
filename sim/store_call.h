/* One operation on a store of a lab, with content in memory: its body comes in pieces and later, what
 * a download puts is copied when it leaves. Runs on the loop of its store. */
#ifndef CAIRN_SIM_STORE_CALL_H
#define CAIRN_SIM_STORE_CALL_H

#include "sim/store_lab.h"
#include "storage/operation.h"

enum store_call_kind {
    CALL_UPLOAD,
    CALL_FIND,
    CALL_STAT,
    CALL_MODIFY,
    CALL_REMOVE,
    CALL_KIND_COUNT
};

struct store_call {
    struct list link; /* the caller's */
    struct store *store;
    struct sim_world *world;
    enum store_call_kind kind;
    void *context;
    void (*on_result)(struct store_call *call); /* NULL: nobody wants to know */
    bool is_told, is_done;
    err_t err; /* when it is done */
    /* in: upload, modify */
    uint8_t *content;
    size_t content_size, sent;
    size_t piece_max;      /* of the body; 0: all at once */
    uint32_t delay_ns_max; /* between pieces, and for a put to leave */
    size_t cut_at;         /* the body ends early, with CLOSED, here; SIZE_MAX: never */
    /* out: find */
    uint8_t *found;
    size_t found_size, found_capacity;
    uint64_t found_total;   /* size of the whole content */
    struct version version; /* find, stat */
    uint8_t flags;          /* find, stat: of the header */
    struct nonce nonce;     /* the same */
    size_t metadata_size;   /* the same: bytes of the metadata attribute */
    /* the operation */
    union {
        struct upload upload;
        struct find find;
        struct stat_file stat;
        struct modify modify;
        struct remove_file remove;
    };
    /* its own */
    struct body body;
    struct outlet outlet;
    struct span putting;
    struct machine *waiting;
    struct owner owner;
    struct io_op timer;
    struct prng prng;
};

/** A call of `kind`, nothing filled in. Freed with store_call_free. */
struct store_call *store_call_new(
    struct sim_world *world, enum store_call_kind kind, uint64_t seed);
/** Once it is done, or its process is dead. */
void store_call_free(struct store_call *call);
/** `data` is copied. */
void store_call_set_content(struct store_call *call, const void *data, size_t size);
void store_call_start(struct store_call *call, struct store *store);

/** Result of an upload, modify or delete that was told. */
const struct file_result *store_call_result(const struct store_call *call);

/** Start it and turn the world until it is done. False: the node went down meanwhile. */
bool store_call_run(struct store_call *call, struct store_lab *lab, struct store *store);

#endif
