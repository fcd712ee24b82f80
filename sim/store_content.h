/* Contents of the reference model: bytes that several states share, and one run of zeros that takes no
 * memory, so that files of more than one checksum group are as cheap as others. */
#ifndef CAIRN_SIM_STORE_CONTENT_H
#define CAIRN_SIM_STORE_CONTENT_H

#include "base/bytes.h"

struct model_content {
    unsigned references;
    uint64_t size;
    uint64_t hole_begin, hole_end; /* zeros that are not in `data` */
    uint8_t data[];
};

/** Without a hole: data[0 .. size). `data` NULL: the caller fills it. */
struct model_content *model_content_new(const void *data, size_t size);
struct model_content *model_content_ref(struct model_content *content);
void model_content_unref(struct model_content *content);

/** `old` with `bytes` at `at` (at most old->size), cut or filled up with zeros to `total`. */
struct model_content *model_content_edit(
    const struct model_content *old, uint64_t at, struct span bytes, uint64_t total);

/** What a modify (enum modify_mode) makes of `old`; `body` NULL: empty. */
struct model_content *model_content_change(
    uint8_t mode, uint64_t offset, struct model_content *body, const struct model_content *old);

/** Has the content these bytes at `offset`? */
bool model_content_matches(const struct model_content *content, uint64_t offset, struct span bytes);
uint32_t model_content_crc(const struct model_content *content);

#endif
