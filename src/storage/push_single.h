/* Streams one change of a single file to a peer: its entry, then the content in pieces, each read and
 * verified when the one before has left. One buffer, whatever the size of the file.
 *
 *   OPEN -> OPENED -> [PACE] -> READ -> CHECK -> SEND -> ... -> UNWIND -> DONE: push_streamed()
 *
 * The CRC of what is sent must be the record's; it is known before the last piece goes. If it differs,
 * or the file is gone or too short, a later change has overtaken this one: the body ends early. */
#ifndef CAIRN_STORAGE_PUSH_SINGLE_H
#define CAIRN_STORAGE_PUSH_SINGLE_H

#include "disk/single.h"
#include "wire/entry.h"

struct push;
struct push_call;

enum {
    PUSH_PIECE_SIZE = 256 * 1024,
    PUSH_STREAM_COST = PUSH_PIECE_SIZE, /* in the peer's credit: no more of it is on its way */
    PUSH_ENTRY_MAX = 128 * 1024,        /* of an entry without content */
    PUSH_SINGLE_BUFFER = SINGLE_READER_BUFFER + PUSH_PIECE_SIZE,
};

struct push_single {
    struct machine machine;
    struct push_call *call; /* NULL: nothing is streamed */
    uint8_t *buffer;        /* PUSH_SINGLE_BUFFER */
    struct single_reader reader;
    struct identity identity;
    struct version version;
    uint64_t from, to, at; /* content: begin, end, how far it was sent */
    uint64_t lsn;
    uint32_t crc, wanted_crc;
    bool is_part;    /* of the content: an append */
    bool is_paced;   /* waits for the rate */
    bool is_sending; /* waits until a piece has left */
    bool has_left;   /* the entry */
};

/** The call was begun with the entry of `record`, and waits for the rest of its body. */
void push_single_start(struct push *push, struct push_call *call, const struct record *record);
/** Tokens came, or the connection was lost. */
void push_single_wake(struct push *push);
/** A piece has left, or the call is over. */
void push_single_sent(struct push *push);

#endif
