#include "sim/mem.h"

#include <stdlib.h>
#include <string.h>

void *sim_alloc(size_t size)
{
    void *memory = calloc(1, size);
    CHECK(memory != NULL);
    return memory;
}

void *sim_grow(void *memory, size_t size)
{
    memory = realloc(memory, size);
    CHECK(memory != NULL);
    return memory;
}

void sim_free(void *memory)
{
    free(memory);
}

char *sim_text_copy(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(sim_alloc(size), text, size);
}

void *sim_blocks_take(struct sim_blocks *blocks)
{
    void *block = blocks->free;
    if (!block)
        return sim_alloc(blocks->size);
    memcpy(&blocks->free, block, sizeof(void *));
    return block;
}

void sim_blocks_give(struct sim_blocks *blocks, void *block)
{
    memcpy(block, &blocks->free, sizeof(void *));
    blocks->free = block;
}

void sim_blocks_clear(struct sim_blocks *blocks)
{
    while (blocks->free)
        sim_free(sim_blocks_take(blocks));
}

/* First no block belongs to another block, then they go. */
void sim_mem_bury(struct mem *mem)
{
    struct list *blocks = &mem->ledger->kinds[HELD_MEM];
    struct owner grave;
    owner_open(&grave, "grave", DIRECTION_OWN, 0);
    LIST_EACH (node, blocks)
        ledger_pass(CONTAINER_OF(node, struct held, link), &grave);
    while (!list_is_empty(blocks))
        mem_give(mem, (void *)(intptr_t)CONTAINER_OF(blocks->next, struct held, link)->handle);
    owner_close(&grave);
}
