/* Messages of the native protocol: bytes <-> structs, from the table in msg.def. */
#ifndef CAIRN_WIRE_MSG_H
#define CAIRN_WIRE_MSG_H

#include "base/err.h"
#include "wire/version.h"

struct key32 {
    uint8_t bytes[32];
};

enum ack_level { ACK_MEMORY = 1, ACK_LOCAL = 2, ACK_ONE = 3, ACK_ALL = 4 };
enum modify_mode { MODIFY_REPLACE = 1, MODIFY_WRITE = 2, MODIFY_APPEND = 3, MODIFY_TRUNCATE = 4 };
enum node_role { ROLE_CLIENT = 1, ROLE_NODE = 2 };
enum server_role { SERVER_TRACKER = 1, SERVER_STORAGE = 2 };
enum member_verb {
    MEMBER_LIST = 1,
    MEMBER_DRAIN = 2,
    MEMBER_REMOVE = 3,
    MEMBER_ADOPT = 4,
    MEMBER_UNDRAIN = 5
};
enum query_door { QUERY_DOOR_NATIVE = 0, QUERY_DOOR_HTTP = 1 };
enum query_purpose { QUERY_UPLOAD = 1, QUERY_FIND = 2, QUERY_MODIFY = 3, QUERY_DELETE = 4 };
enum storage_state {
    STATE_INITING = 1,
    STATE_ACCEPTING,
    STATE_DSYNCING,
    STATE_DSYNCED,
    STATE_CSYNCING,
    STATE_RUNNING,
    STATE_CLOSING,
    STATE_CLOSED,
    STATE_COUNT
};
const char *storage_state_name(uint8_t state); /* "running"; "unknown" */
#define SLACK_IS_BYTES (1u << 31)

enum msg_type {
#define MESSAGE(NAME, name, number, fields) MSG_##NAME = number,
#include "wire/msg.def"
#undef MESSAGE
};

#define FIELD_U8(name) uint8_t name;
#define FIELD_U16(name) uint16_t name;
#define FIELD_U32(name) uint32_t name;
#define FIELD_U64(name) uint64_t name;
#define FIELD_VERSION(name) struct version name;
#define FIELD_NONCE(name) struct nonce name;
#define FIELD_LATER8(name) uint8_t name;
#define FIELD_KEY32(name) struct key32 name;
#define FIELD_TEXT(name) struct span name;
#define F(kind, name) FIELD_##kind(name)
/* struct msg_upload { ... }; msg_upload_encode(); msg_upload_decode() ... */
#define MESSAGE(NAME, name, number, fields)                                       \
    struct msg_##name {                                                           \
        fields char end_of_fields[0];                                             \
    };                                                                            \
    void msg_##name##_encode(const struct msg_##name *msg, struct writer *w);     \
    /* Errors: PROTOCOL (fields missing or too long). Texts point into `meta`. */ \
    MUST err_t msg_##name##_decode(struct span meta, struct msg_##name *ret);
#include "wire/msg.def"
#undef MESSAGE
#undef F

const char *msg_type_name(uint8_t type); /* "upload"; "unknown" */

#endif
