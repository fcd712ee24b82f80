#include "net/error.h"

void error_encode(err_t err, const char *text, struct version version, struct writer *w)
{
    CHECK(err_is(err));
    struct msg_error error = {
        .code = (uint32_t)err.code, .text = span_of_text(text), .version = version};
    msg_error_encode(&error, w);
    CHECK(!w->failed);
}

static bool code_is_known(uint32_t code)
{
    switch (code) {
#define X(name, number, exit_code, text) case number:
        ERR_CODES(X)
#undef X
        return true;
    default:
        return false;
    }
}

err_t error_decode(struct span meta)
{
    struct msg_error error;
    TRY(msg_error_decode(meta, &error));
    if (error.code == ERR_CODE_OK)
        return ERR(PROTOCOL, 0);
    if (!code_is_known(error.code))
        return (err_t){NULL, ERR_CODE_FAILED, 0};
    return (err_t){NULL, (int32_t)error.code, 0};
}
