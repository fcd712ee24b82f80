/* Any bytes as a FastDFS request, a metadata list, a name: nothing is read beyond them, a request means
 * the same with more bytes behind it, and what was merged once stays as it is. */
#include "wire/fdfs.h"
#include "wire/fdfs_meta.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct span part, struct span all)
{
    if (part.size > 0)
        CHECK(part.data >= all.data && part.data + part.size <= all.data + all.size);
}

static void check_request(struct span bytes)
{
    struct fdfs_head head, again;
    size_t size, size_again;
    int status = fdfs_decode(bytes, &head, &size);
    if (status != FDFS_OK)
        return;
    CHECK(size >= FDFS_HEADER_SIZE && size <= bytes.size);
    CHECK(size <= FDFS_HEADER_SIZE + FDFS_PARAMETERS_MAX);
    CHECK(!fdfs_has_content(head.command) || size - FDFS_HEADER_SIZE + head.size == head.body_size);
    const struct span parts[] = {
        head.group, head.name, head.suffix, head.prefix, head.metadata, head.text};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        check_inside(parts[i], span_of(bytes.data, size));
    CHECK(fdfs_decode(span_of(bytes.data, size), &again, &size_again) == FDFS_OK);
    CHECK(size_again == size && again.offset == head.offset && again.size == head.size);
    for (size_t have = 0; have < size; have++)
        CHECK(fdfs_decode(span_of(bytes.data, have), &again, &size_again) == FDFS_NEED_MORE);
}

static void check_metadata(struct span bytes)
{
    static uint8_t first[64 * 1024], second[64 * 1024];
    struct writer w = {first, sizeof first, 0, false}, v = {second, sizeof second, 0, false};
    if (err_is(fdfs_meta_merge(span_of(NULL, 0), bytes, &w)))
        return;
    CHECK(w.size <= bytes.size);
    CHECK(!err_is(fdfs_meta_merge(span_of(first, w.size), bytes, &v)));
    CHECK(v.size == w.size && memcmp(first, second, w.size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t source;
    check_request(span_of(data, size));
    check_metadata(span_of(data, size));
    (void)fdfs_name_source(span_of(data, size), &source);
    return 0;
}
