#include "disk/single_pour.h"

static void pour_step(struct single_chain *chain);

/* Entries of a group that is full, or of the end. */
static bool pour_flush(
    struct single_pour *pour, struct single_chain *chain, single_chain_next *next)
{
    uint64_t offset;
    struct span bytes;
    if (!fill_flush(&pour->fill, &bytes, &offset))
        return false;
    chain_write(chain, pour->fd, bytes, offset, next);
    return true;
}

static void pour_step(struct single_chain *chain)
{
    struct single_pour *pour = chain->pour;
    for (;;) {
        if (fill_is_group_full(&pour->fill) && pour_flush(pour, chain, pour_step))
            return;
        if (pour->left.size > 0) {
            uint64_t offset;
            struct span piece = fill_take(&pour->fill, &pour->left, &offset);
            chain_write(chain, pour->fd, piece, offset, pour_step);
            return;
        }
        if (pour->zeros == 0)
            break;
        pour->zeros -= fill_take_zeros(&pour->fill, pour->zeros);
    }
    pour->then(chain);
}

void pour_write(struct single_pour *pour, struct single_chain *chain, struct span content,
    single_chain_next *then)
{
    pour->left = content;
    pour->zeros = 0;
    pour->then = then;
    chain->pour = pour;
    pour_step(chain);
}

void pour_zeros(
    struct single_pour *pour, struct single_chain *chain, uint64_t size, single_chain_next *then)
{
    pour->left = span_of(NULL, 0);
    pour->zeros = size;
    pour->then = then;
    chain->pour = pour;
    pour_step(chain);
}

void pour_finish(struct single_pour *pour, struct single_chain *chain, single_chain_next *then)
{
    if (!pour_flush(pour, chain, then))
        then(chain);
}
