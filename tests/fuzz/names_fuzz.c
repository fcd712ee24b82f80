/* Any bytes as a name of FastDFS, a page of a map, a copy of cairn.names: nothing is read beyond them, and
 * what is found lies inside. */
#include "base/crc.h"
#include "disk/names_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_page(struct span page, const struct names_key *key)
{
    struct span id;
    bool has_more;
    if (err_is(names_page_find(page, key, &id, &has_more)) || id.size == 0)
        return;
    CHECK(id.data > page.data && id.data + id.size <= page.data + page.size);
    CHECK(id.size <= NAMES_ID_MAX);
}

static void check_name(struct span name, struct names_key *key)
{
    struct fdfs_id id;
    if (err_is(fdfs_id_parse(name, &id)))
        return;
    CHECK(id.rest.data + id.rest.size == name.data + name.size);
    CHECK(id.is_slave || id.rest.size == FDFS_REST_LENGTH);
    names_key_of_master(&id, key);
    names_key_of(&id, key);
}

static void check_image(uint8_t *bytes)
{
    struct names_image image, again;
    uint8_t encoded[MEMBERS_COPY_SIZE];
    put_u32(bytes + 12, 0);
    put_u32(bytes + 12, crc32_update(0, bytes, MEMBERS_COPY_SIZE));
    if (err_is(names_image_decode(bytes, 0, &image)))
        return;
    names_image_encode(&image, encoded);
    CHECK(!err_is(names_image_decode(encoded, 0, &again)));
    CHECK(again.count == image.count && again.generation == image.generation);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t bytes[MEMBERS_COPY_SIZE] = {0};
    struct names_key key = {.has_rest = true};
    size_t name = size < 128 ? size : 128;
    check_name(span_of(data, name), &key);
    memcpy(bytes, data, size < sizeof bytes ? size : sizeof bytes);
    memcpy(key.bytes, bytes + NAMES_HEAD_SIZE, sizeof key.bytes);
    memcpy(key.rest, bytes + NAMES_HEAD_SIZE + NAMES_KEY_SIZE, sizeof key.rest);
    check_page(span_of(bytes, sizeof bytes), &key);
    check_image(bytes);
    return 0;
}
