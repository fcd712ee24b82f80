/* Any bytes as a file id: what is accepted has one spelling and fields in range. */
#include "wire/fid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fid fid;
    char text[FID_TEXT_MAX];
    if (err_is(fid_parse(span_of(data, size), &fid)))
        return 0;
    CHECK(fid_format(&fid, text) == size);
    CHECK(memcmp(text, data, size) == 0);
    return 0;
}
