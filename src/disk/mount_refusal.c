#include "base/text.h"
#include "disk/mount.h"

err_t mount_refuse(struct mount *mount, enum mount_refusal refusal)
{
    mount->refusal = refusal;
    switch (refusal) {
#define X(name, code, text) \
    case MOUNT_##name:      \
        return ERR(code, 0);
        MOUNT_REFUSALS(X)
#undef X
    default:
        UNREACHABLE("not a refusal");
    }
}

static const char *refusal_sentence(enum mount_refusal refusal)
{
    static const char *const sentences[MOUNT_REFUSAL_COUNT] = {"",
#define X(name, code, text) text,
        MOUNT_REFUSALS(X)
#undef X
    };
    CHECK(refusal < MOUNT_REFUSAL_COUNT);
    return sentences[refusal];
}

static void add_uuid(struct text *text, const uint8_t uuid[UUID_SIZE])
{
    for (size_t i = 0; i < UUID_SIZE; i++)
        text_add(text, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", uuid[i]);
}

static void add_uuids(
    struct text *text, const uint8_t found[UUID_SIZE], const uint8_t expected[UUID_SIZE])
{
    text_add(text, " (found ");
    add_uuid(text, found);
    text_add(text, ", expected ");
    add_uuid(text, expected);
    text_add(text, ")");
}

static void add_numbers(struct text *text, uint64_t found, uint64_t expected)
{
    text_add(text, " (found %llu, expected %llu)", (unsigned long long)found,
        (unsigned long long)expected);
}

static void add_details(struct text *text, const struct mount *mount)
{
    const struct mount_identity *found = &mount->image.identity, *expected = &mount->expected;
    const struct mount_witness *seen = &mount->image.witness[found->index];
    switch (mount->refusal) {
    case MOUNT_OTHER_CLUSTER:
        add_uuids(text, found->cluster_uuid, expected->cluster_uuid);
        break;
    case MOUNT_OTHER_STORAGE:
        add_uuids(text, found->storage_uuid, expected->storage_uuid);
        break;
    case MOUNT_OTHER_MACHINE:
        add_numbers(text, found->machine, expected->machine);
        break;
    case MOUNT_OTHER_GROUP:
        text_add(text, " (found %s, expected %s)", found->group, expected->group);
        break;
    case MOUNT_SWAPPED:
        text_add(text, " (found M%02X, expected M%02X)", found->index, expected->index);
        break;
    case MOUNT_STALE:
    case MOUNT_REPLACED:
        text_add(text, " (generation %llu, known: %llu)",
            (unsigned long long)mount->image.generation, (unsigned long long)seen->generation);
        break;
    default:
        break;
    }
}

const char *mount_refusal_text(const struct mount *mount, char buffer[MOUNT_REFUSAL_TEXT_MAX])
{
    struct text text;
    text_init(&text, buffer, MOUNT_REFUSAL_TEXT_MAX);
    if (mount->refusal == MOUNT_ACCEPTED)
        return buffer;
    text_add(&text, "%s: %s", mount->path, refusal_sentence(mount->refusal));
    add_details(&text, mount);
    return buffer;
}
