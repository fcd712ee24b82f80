/* First byte: message type; the rest: its fields. What decodes encodes to the same bytes again, and
 * texts lie inside the input. */
#include "wire/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t again[4 << 20];

#define INSIDE_U8(name)
#define INSIDE_U16(name)
#define INSIDE_U32(name)
#define INSIDE_U64(name)
#define INSIDE_VERSION(name)
#define INSIDE_NONCE(name)
#define INSIDE_KEY32(name)
#define INSIDE_LATER8(name) later++;
#define INSIDE_TEXT(name) \
    CHECK(msg.name.data >= meta.data && msg.name.data + msg.name.size <= meta.data + meta.size);
#define F(kind, name) INSIDE_##kind(name)
#define MESSAGE(NAME, name, number, fields)                          \
    static void check_##name(struct span meta)                       \
    {                                                                \
        struct msg_##name msg;                                       \
        size_t later = 0; /* bytes that may have been missing */     \
        struct writer w = {.data = again, .capacity = sizeof again}; \
        if (err_is(msg_##name##_decode(meta, &msg)))                 \
            return;                                                  \
        fields msg_##name##_encode(&msg, &w);                        \
        CHECK(!w.failed && w.size <= meta.size + later);             \
        size_t size = w.size < meta.size ? w.size : meta.size;       \
        CHECK(size == 0 || memcmp(again, meta.data, size) == 0);     \
    }
#include "wire/msg.def"
#undef MESSAGE
#undef F

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct span meta = span_of(data + 1, size - 1);
    switch (data[0]) {
#define MESSAGE(NAME, name, number, fields) \
    case number:                            \
        check_##name(meta);                 \
        break;
#include "wire/msg.def"
#undef MESSAGE
    default:
        break;
    }
    return 0;
}
