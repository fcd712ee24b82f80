/* What the parts of the swarm share. For the modules named store_swarm* only.
 *
 *   store_swarm_draw     what is drawn: sizes, contents, files, changes
 *   store_swarm_flight   operations are begun
 *   store_swarm_judge    their answers are compared with the model
 *   store_swarm          lives of the process, from boot to crash, and what is there after a restart */
#ifndef CAIRN_SIM_STORE_SWARM_PARTS_H
#define CAIRN_SIM_STORE_SWARM_PARTS_H

#include "sim/store_swarm.h"

enum { IN_FLIGHT_MAX = 6, METADATA_MAX = 200 };
/* Of a large file the tail, where changes are, lies about the border of the first two groups. */
enum { LARGE_SIZE = BLOCKS_PER_GROUP * BLOCK_SIZE, LARGE_TAIL = 300000 };

/* An operation in flight, and what the model knows of it. */
struct flight {
    struct store_call *call; /* NULL: this place is free */
    struct model_file *file; /* all but uploads */
    struct model_change *change;
    struct model_upload *upload;
    uint64_t began;
    uint32_t number;
    bool is_clock_seen;
    bool expects_refusal; /* the harness asked for something that must be refused */
};

struct swarm {
    const struct store_swarm_options *options;
    struct store_swarm_result *result;
    struct sim_world *world;
    struct store_lab lab;
    struct store_model model;
    struct prng prng;
    struct flight flights[IN_FLIGHT_MAX];
    unsigned in_flight_max;
    uint32_t size_max; /* of contents */
    enum store_swarm_fault fault;
    bool has_fault;      /* one was switched on in this life */
    bool has_stepped;    /* the wall clock jumped: ids may have to wait for a lease */
    bool has_lost_names; /* the sync of a directory failed */
    bool walks_often;
    bool is_small;  /* the disk may run full */
    bool has_large; /* some files grow to more than one checksum group (63.5 MiB) */
    uint32_t number;
    uint8_t metadata[METADATA_MAX];
};

static inline uint64_t swarm_below(struct swarm *swarm, uint64_t n)
{
    return prng_below(&swarm->prng, n);
}

static inline bool swarm_chance(struct swarm *swarm, unsigned percent)
{
    return swarm_below(swarm, 100) < percent;
}

static inline uint64_t swarm_size_of(const struct model_file *file)
{
    return file->current.content ? file->current.content->size : 0;
}

static inline bool swarm_is_large(const struct model_file *file)
{
    return swarm_size_of(file) > LARGE_SIZE - 2 * LARGE_TAIL;
}

/** The first failure counts. */
__attribute__((format(printf, 2, 3))) void swarm_fail(struct swarm *swarm, const char *format, ...);
static inline bool swarm_has_failed(const struct swarm *swarm)
{
    return swarm->result->failure[0] != '\0';
}

/* ---- store_swarm_draw ---- */

void swarm_draw_options(struct swarm *swarm, struct store_lab_options *options);
/** Sizes around every edge that there is, and small ones most of the time. */
uint32_t swarm_draw_size(struct swarm *swarm);
struct model_content *swarm_draw_content(struct swarm *swarm, uint32_t size);
/** NULL: there is none. `wants_changeable`: one without too many changes on their way. */
struct model_file *swarm_draw_file(struct swarm *swarm, bool wants_changeable);
/** Offset and size. */
void swarm_draw_range(struct swarm *swarm, const struct model_file *file, struct find *find);
struct version swarm_draw_if_version(struct swarm *swarm, const struct model_file *file);
/** Mode and offset of a modify; returns the size of its body. */
uint32_t swarm_draw_change(
    struct swarm *swarm, const struct model_file *file, struct model_change *change);

/* ---- store_swarm_flight ---- */

/** Begin any operation, in this free place. */
void swarm_begin(struct swarm *swarm, struct flight *flight);
const char *flight_kind_name(const struct flight *flight);
unsigned long long flight_clock(const struct flight *flight);

/* ---- store_swarm_judge ---- */

/** store_call's on_result: it was told. */
void swarm_see_result(struct store_call *call);
/** It is over: its place is free again. */
void swarm_see_done(struct swarm *swarm, struct flight *flight);
/** The process died: what was in flight may have happened. */
void swarm_see_death(struct swarm *swarm);
/** The model need not know of this upload. */
void flight_forget_upload(struct flight *flight);
/** Can a find or stat end like this, if the file is so? */
bool swarm_read_matches(const struct store_call *call, const struct model_state *state);

#endif
