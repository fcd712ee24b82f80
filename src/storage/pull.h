/* Whole files fetched from other members and applied here: what store.fetch does. For files that are
 * missing, damaged or stale here. doc/decisions/0021-mirrors.md.
 *
 *   store.fetch(fetch), on the loop that owns the file -> ... -> fetch->done
 *
 *   of a slot:
 *
 *   CHOOSE <---- has it not, cannot be reached ----.
 *     `-> CONNECT -> ASK -> ENTRY -> INTAKE -> TAKEN -> UNWIND -> DONE -> the next that waits
 *
 * A loop has PULL_SLOTS slots, each with a connection of its own, so that a slow disk or peer holds up
 * one file only; who finds none waits in order. Members are asked one after the other: the one that was
 * named, or the origin first, then the others that are alive. Everything a peer says is checked
 * (intake_check and what was asked for); a peer that talks nonsense counts as one that cannot be
 * reached. A connection stays open for PULL_IDLE_S. */
#ifndef CAIRN_STORAGE_PULL_H
#define CAIRN_STORAGE_PULL_H

#include "net/client.h"
#include "storage/full_entry.h"
#include "storage/intake.h"
#include "storage/members.h"

struct pulls;
struct storage_loop;

enum {
    PULL_SLOTS = 4,
    PULL_TIMEOUT_S = 10, /* for each part of an answer */
    PULL_CONNECT_S =
        1, /* the origin may be dead, and a client waits: the next member is asked soon */
    PULL_IDLE_S = 10,
    PULL_RETRIES = 3,  /* of a file that changed while it was sent */
    PULL_DAMAGES = 32, /* files remembered as damaged: each is told once */
};

struct pull_slot {
    struct machine machine;
    struct pulls *pulls;
    struct intake_fetch *fetch; /* NULL: idle */
    struct net_client client;
    uint32_t peer; /* machine that the client speaks to */
    bool is_ready; /* the handshake is done */
    bool is_hung_up;
    struct net_call call;
    uint32_t asked; /* members tried, by index, bits */
    uint32_t retries;
    bool is_waiting;  /* for wake() */
    bool has_dialled; /* this attempt has made its connection, or tried */
    bool is_call_out, is_intake_out, is_reused, was_told_not_found;
    err_t call_err;
    uint64_t idle_ns; /* since then */
    /* the answer */
    struct net_buffer *kept; /* where `rest` lies */
    struct span rest;        /* of the newest frame */
    bool is_last, has_answer;
    uint64_t content_size, received;
    size_t entry_have;
    struct body body;
    struct machine *body_machine; /* waits for the next frame */
    struct intake intake;
    uint8_t entry[FULL_ENTRY_PLAIN_MAX] __attribute__((aligned(8)));
};

struct pulls {
    struct storage_loop *loop;
    struct pull_slot *slots;
    uint32_t slot_count; /* PULL_SLOTS, or fewer where few files may be open */
    struct list waiting; /* struct intake_fetch */
    struct owner owner;
    struct net_tick tick;
    uint32_t running;
    bool is_stopping, is_ticking;
    struct pull_damage {
        uint64_t clock;
        uint32_t origin;
    } damages[PULL_DAMAGES];
    uint32_t damage_at;
    uint64_t pulled, repaired, failed, damaged, bytes; /* counters; damaged: files, each once */
};

/** Bytes of memory of one loop. */
uint64_t pull_bytes(uint32_t slot_count);

/** Set loop->store.fetch, if there is room for peers at all. Errors: BUSY, NO_RESOURCE; nothing is held then. */
MUST err_t pull_open(struct storage_loop *loop);
/** The loop is to end: connections close as soon as nothing needs them. True: all is at rest. */
MUST bool pull_rest(struct storage_loop *loop);
/** Give the memory back. CHECKs that all is at rest. */
void pull_close(struct storage_loop *loop);

/** This file is damaged here: log and count it, once. */
void pull_note_damage(struct pulls *pulls, const struct identity *identity, err_t err);

#endif
