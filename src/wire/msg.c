#include "wire/msg.h"

const char *storage_state_name(uint8_t state)
{
    static const char *const names[STATE_COUNT] = {"unknown", "initing", "accepting", "dsyncing",
        "dsynced", "csyncing", "running", "closing", "closed"};
    return state < STATE_COUNT ? names[state] : names[0];
}

static void write_version(struct writer *w, struct version version)
{
    write_u64(w, version.counter);
    write_u32(w, version.machine);
}

static struct version read_version(struct reader *r)
{
    struct version version;
    version.counter = read_u64(r);
    version.machine = read_u32(r);
    return version;
}

#define WRITE_U8(name) write_u8(w, msg->name);
#define WRITE_U16(name) write_u16(w, msg->name);
#define WRITE_U32(name) write_u32(w, msg->name);
#define WRITE_U64(name) write_u64(w, msg->name);
#define WRITE_VERSION(name) write_version(w, msg->name);
#define WRITE_NONCE(name) write_bytes(w, msg->name.bytes, sizeof msg->name.bytes);
#define WRITE_LATER8(name) write_u8(w, msg->name);
#define WRITE_KEY32(name) write_bytes(w, msg->name.bytes, sizeof msg->name.bytes);
#define WRITE_TEXT(name) write_text(w, msg->name);
#define F(kind, name) WRITE_##kind(name)
#define MESSAGE(NAME, name, number, fields)                                  \
    void msg_##name##_encode(const struct msg_##name *msg, struct writer *w) \
    {                                                                        \
        (void)msg;                                                           \
        (void)w;                                                             \
        fields                                                               \
    }
#include "wire/msg.def"
#undef MESSAGE
#undef F

#define READ_U8(name) msg.name = read_u8(&r);
#define READ_U16(name) msg.name = read_u16(&r);
#define READ_U32(name) msg.name = read_u32(&r);
#define READ_U64(name) msg.name = read_u64(&r);
#define READ_VERSION(name) msg.name = read_version(&r);
#define READ_NONCE(name) read_bytes(&r, msg.name.bytes, sizeof msg.name.bytes);
#define READ_LATER8(name) msg.name = r.at < r.size ? read_u8(&r) : 0;
#define READ_KEY32(name) read_bytes(&r, msg.name.bytes, sizeof msg.name.bytes);
#define READ_TEXT(name) msg.name = read_text(&r);
#define F(kind, name) READ_##kind(name)
#define MESSAGE(NAME, name, number, fields)                             \
    err_t msg_##name##_decode(struct span meta, struct msg_##name *ret) \
    {                                                                   \
        struct reader r = {.data = meta.data, .size = meta.size};       \
        struct msg_##name msg = {};                                     \
        fields if (r.failed) return ERR(PROTOCOL, 0);                   \
        *ret = msg;                                                     \
        return ERR_OK;                                                  \
    }
#include "wire/msg.def"
#undef MESSAGE
#undef F

const char *msg_type_name(uint8_t type)
{
    switch (type) {
#define MESSAGE(NAME, name, number, fields) \
    case number:                            \
        return #name;
#include "wire/msg.def"
#undef MESSAGE
    default:
        return "unknown";
    }
}
