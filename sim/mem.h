/* Memory of the simulated world. It is a test world: it may use as much as it needs, and gives up
 * when there is none. Servers do not link this. */
#ifndef CAIRN_SIM_MEM_H
#define CAIRN_SIM_MEM_H

#include "base/mem.h"

/** Zeroed; never NULL. Given back by sim_free. */
void *sim_alloc(size_t size);
/** Like realloc; what is new is not zeroed. */
void *sim_grow(void *memory, size_t size);
void sim_free(void *memory);
char *sim_text_copy(const char *text);

/** The process is dead: give back every block of `mem`, whose owners lie in the same memory. */
void sim_mem_bury(struct mem *mem);

#define SIM_NEW(type) ((type *)sim_alloc(sizeof(type)))

/** Many blocks of one size: taken and given back in a few instructions. */
struct sim_blocks {
    size_t size; /* bytes each, at least a pointer */
    void *free;
};

/** Contents are what the last user left there. */
void *sim_blocks_take(struct sim_blocks *blocks);
void sim_blocks_give(struct sim_blocks *blocks, void *block);
/** Free what was given back. */
void sim_blocks_clear(struct sim_blocks *blocks);

#endif
