/* Where an operation's content comes from, and where a download's content goes: so that operations
 * know no connection. The doors implement them; tests use memory. */
#ifndef CAIRN_STORAGE_BODY_H
#define CAIRN_STORAGE_BODY_H

#include "base/bytes.h"
#include "base/stage.h"

/** Content that comes in pieces. `data` is stable until the next piece is asked for. */
struct body {
    struct span data; /* the present piece; may be empty */
    bool is_last;     /* nothing comes behind `data` */
    err_t err;        /* CLOSED, PROTOCOL: the content ends early */
    /* Ask for the next piece: `machine` arrives, later, when data, is_last or err are new. NULL if
     * is_last from the start. */
    void (*next)(struct body *body, struct machine *machine);
};

/** A download's way out. */
struct outlet {
    err_t err; /* CLOSED: nobody reads any more */
    /* Take `data` (borrowed until the arrival). `machine` arrives, later, when it has left. */
    void (*put)(struct outlet *outlet, struct span data, bool is_last, struct machine *machine);
};

#endif
