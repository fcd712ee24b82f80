#include "wire/names.h"

#include <openssl/sha.h>

enum { MAGIC = 0x504D4E43, FORMAT_AT = 4, COUNT_AT = 6, MORE_AT = 8 };
enum { REST_AT = NAMES_KEY_SIZE, LENGTH_AT = REST_AT + FDFS_REST_LENGTH, ID_AT = LENGTH_AT + 1 };

_Static_assert(ID_AT + NAMES_ID_MAX == NAMES_ENTRY_SIZE, "maps of names");
_Static_assert(
    NAMES_HEAD_SIZE + NAMES_PAGE_ENTRIES * NAMES_ENTRY_SIZE == NAMES_PAGE_SIZE, "maps of names");

/* What is hashed begins with a letter, so that the kinds of names can't meet. */
enum { KEY_OF_FILE = 'F', KEY_OF_TRUNK = 'T', KEY_OF_SLAVE = 'S', KEY_TEXT_MAX = 1 + 127 };

static void hash(const struct writer *w, struct names_key *ret)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    CHECK(!w->failed && SHA256(w->data, w->size, digest) != NULL);
    memcpy(ret->bytes, digest, sizeof ret->bytes);
}

static void key_of_file(const struct fdfs_id *id, struct names_key *ret)
{
    uint8_t text[KEY_TEXT_MAX];
    struct writer w = {text, sizeof text, 0, false};
    if (id->is_trunk) {
        write_u8(&w, KEY_OF_TRUNK);
        write_bytes(&w, id->name.data, FDFS_PATH_LENGTH);
        write_u32(&w, id->trunk);
        write_u32(&w, id->offset);
        write_u32(&w, id->allocated);
        write_u32(&w, id->time_s);
        write_u64(&w, id->size);
        write_u32(&w, id->crc);
    } else {
        write_u8(&w, KEY_OF_FILE);
        write_bytes(&w, id->name.data, FDFS_PATH_LENGTH + FDFS_CORE_LENGTH);
    }
    hash(&w, ret);
}

void names_key_of(const struct fdfs_id *id, struct names_key *ret)
{
    *ret = (struct names_key){.has_rest = !id->is_slave};
    if (id->is_slave) {
        uint8_t text[KEY_TEXT_MAX];
        struct writer w = {text, sizeof text, 0, false};
        write_u8(&w, KEY_OF_SLAVE);
        write_bytes(&w, id->name.data, id->name.size);
        hash(&w, ret);
    } else {
        memcpy(ret->rest, id->rest.data, sizeof ret->rest);
        key_of_file(id, ret);
    }
}

void names_key_of_master(const struct fdfs_id *slave, struct names_key *ret)
{
    *ret = (struct names_key){.has_rest = false};
    key_of_file(slave, ret);
}

uint32_t names_page_of(const struct names_key *key, uint32_t page_count)
{
    return (uint32_t)((uint64_t)get_u32(key->bytes) * page_count >> 32);
}

void names_page_init(uint8_t page[NAMES_PAGE_SIZE])
{
    memset(page, 0, NAMES_PAGE_SIZE);
    put_u32(page, MAGIC);
    put_u16(page + FORMAT_AT, NAMES_FORMAT);
}

bool names_page_add(uint8_t page[NAMES_PAGE_SIZE], const struct names_key *key, struct span id)
{
    uint16_t count = get_u16(page + COUNT_AT);
    CHECK(id.size > 0 && id.size <= NAMES_ID_MAX);
    if (count == NAMES_PAGE_ENTRIES) {
        page[MORE_AT] = 1;
        return false;
    }
    uint8_t *entry = page + NAMES_HEAD_SIZE + count * (size_t)NAMES_ENTRY_SIZE;
    memcpy(entry, key->bytes, NAMES_KEY_SIZE);
    memcpy(entry + REST_AT, key->rest, FDFS_REST_LENGTH);
    entry[LENGTH_AT] = (uint8_t)id.size;
    memcpy(entry + ID_AT, id.data, id.size);
    put_u16(page + COUNT_AT, (uint16_t)(count + 1));
    return true;
}

static bool is_it(const uint8_t *entry, const struct names_key *key)
{
    return memcmp(entry, key->bytes, NAMES_KEY_SIZE) == 0
           && (!key->has_rest || memcmp(entry + REST_AT, key->rest, FDFS_REST_LENGTH) == 0);
}

err_t names_page_find(
    struct span page, const struct names_key *key, struct span *ret_id, bool *ret_more)
{
    if (page.size != NAMES_PAGE_SIZE || get_u32(page.data) != MAGIC)
        return ERR(CORRUPT, 0);
    if (get_u16(page.data + FORMAT_AT) != NAMES_FORMAT)
        return ERR(FORMAT, 0);
    uint16_t count = get_u16(page.data + COUNT_AT);
    if (count > NAMES_PAGE_ENTRIES)
        return ERR(CORRUPT, 0);
    *ret_id = span_of(NULL, 0);
    *ret_more = page.data[MORE_AT] != 0;
    for (uint16_t i = 0; i < count; i++) {
        const uint8_t *entry = page.data + NAMES_HEAD_SIZE + i * (size_t)NAMES_ENTRY_SIZE;
        if (!is_it(entry, key))
            continue;
        if (entry[LENGTH_AT] == 0 || entry[LENGTH_AT] > NAMES_ID_MAX)
            return ERR(CORRUPT, 0);
        *ret_id = span_of(entry + ID_AT, entry[LENGTH_AT]);
        break;
    }
    return ERR_OK;
}
