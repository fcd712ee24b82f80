#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>

enum { BLOCK_MAGIC = 0x6d656d62 };

/* Lies directly before the bytes that the caller gets:
 *
 *   base ... padding ... | struct block | data, aligned ... */
struct block {
    struct held held;
    struct mem *mem;
    void *base; /* what malloc returned */
    uint32_t magic;
};

static struct block *block_of(void *data)
{
    return (struct block *)data - 1;
}

void mem_init(struct mem *mem, struct ledger *ledger)
{
    *mem = (struct mem){.ledger = ledger, .phase = MEM_BOOT};
}

void mem_set_phase(struct mem *mem, enum mem_phase phase)
{
    CHECK(phase >= mem->phase);
    mem->phase = phase;
}

/* calloc and not aligned_alloc: large blocks come zeroed from the kernel, untouched. */
static err_t block_new(
    struct mem *mem, size_t size, size_t alignment, const struct site *site, struct block **ret)
{
    size_t extra = sizeof(struct block) + alignment;
    if (size > SIZE_MAX - extra)
        return (err_t){site, ERR_CODE_NO_RESOURCE, ENOMEM};
    char *base = calloc(1, size + extra);
    if (!base)
        return (err_t){site, ERR_CODE_NO_RESOURCE, ENOMEM};
    uintptr_t lowest = (uintptr_t)base + sizeof(struct block);
    size_t skip = (size_t)(-lowest & (alignment - 1));
    struct block *block = (struct block *)(void *)(base + skip);
    *block = (struct block){.mem = mem, .base = base, .magic = BLOCK_MAGIC};
    *ret = block;
    return ERR_OK;
}

err_t mem_take_at(struct mem *mem, struct owner *owner, size_t size, size_t alignment, void **ret,
    const struct site *site)
{
    if (alignment < _Alignof(max_align_t))
        alignment = _Alignof(max_align_t);
    CHECK(size > 0 && alignment <= MEM_ALIGNMENT_MAX && (alignment & (alignment - 1)) == 0);
    if (mem->phase != MEM_BOOT && !mem->is_unphased)
        return (err_t){site, ERR_CODE_BUSY, 0};
    struct block *block;
    TRY(block_new(mem, size, alignment, site, &block));
    void *data = block + 1;
    struct claim claim = {HELD_MEM, LIFE_PROCESS, size, (int64_t)(intptr_t)data, owner};
    err_t err = ledger_acquire_at(mem->ledger, &block->held, &claim, site);
    if (err_is(err)) {
        free(block->base);
        return err;
    }
    mem->bytes += size;
    if (mem->bytes > mem->bytes_max)
        mem->bytes_max = mem->bytes;
    *ret = data;
    return ERR_OK;
}

void mem_give(struct mem *mem, void *data)
{
    if (!data)
        return;
    struct block *block = block_of(data);
    CHECK(block->magic == BLOCK_MAGIC && block->mem == mem);
    mem->bytes -= block->held.size;
    ledger_release(mem->ledger, &block->held, HELD_MEM);
    block->magic = 0;
    free(block->base);
}

void *mem_object_new(size_t size, size_t alignment)
{
    if (alignment <= _Alignof(max_align_t))
        return malloc(size);
    return aligned_alloc(alignment, (size + alignment - 1) & ~(alignment - 1));
}

void mem_object_free(void *object)
{
    free(object);
}
