/* Any bytes as members of a group: what decodes encodes to the same fields again, inside the input. */
#include "wire/member_entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = {.data = data, .size = size};
    struct member_entry entry;
    while (!err_is(member_entry_decode(&r, &entry))) {
        uint8_t bytes[MEMBER_ENTRY_SIZE_MAX];
        struct writer w = {.data = bytes, .capacity = sizeof bytes};
        CHECK(entry.address.data >= data && entry.address.data + entry.address.size <= data + size);
        member_entry_encode(&entry, &w);
        CHECK(!w.failed);
        struct reader again_r = {.data = bytes, .size = w.size};
        struct member_entry again;
        CHECK(!err_is(member_entry_decode(&again_r, &again)));
        CHECK(again.machine == entry.machine && again.flags == entry.flags);
    }
    return 0;
}
