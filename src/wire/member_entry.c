#include "wire/member_entry.h"

#include "wire/fid.h"
#include "wire/msg.h"

void member_entry_encode(const struct member_entry *entry, struct writer *w)
{
    write_u32(w, entry->machine);
    write_bytes(w, entry->uuid.bytes, sizeof entry->uuid.bytes);
    write_u8(w, entry->state);
    write_u8(w, entry->flags);
    write_text(w, entry->address);
}

err_t member_entry_decode(struct reader *r, struct member_entry *ret)
{
    struct member_entry entry = {.machine = read_u32(r)};
    read_bytes(r, entry.uuid.bytes, sizeof entry.uuid.bytes);
    entry.state = read_u8(r);
    entry.flags = read_u8(r) & MEMBER_FLAGS;
    entry.address = read_text(r);
    bool is_in_range = entry.machine >= 1 && entry.machine <= MACHINE_MAX
                       && !nonce_is_none(&entry.uuid) && entry.state < STATE_COUNT
                       && entry.address.size < MEMBER_ENTRY_ADDRESS_MAX;
    if (r->failed || !is_in_range)
        return ERR(PROTOCOL, 0);
    *ret = entry;
    return ERR_OK;
}
