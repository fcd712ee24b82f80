#include "wire/fdfs_meta.h"

#include <openssl/evp.h>
#include <stdio.h>

enum { RECORD_END = 1, NAME_END = 2 };

struct item {
    struct span name, value;
};

struct list {
    struct item items[FDFS_META_ITEMS_MAX];
    size_t count;
};

static int compare(struct span a, struct span b)
{
    size_t least = a.size < b.size ? a.size : b.size;
    int order = least > 0 ? memcmp(a.data, b.data, least) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* In order; an item of the same name is replaced. */
static err_t put(struct list *list, const struct item *item)
{
    size_t at = 0;
    while (at < list->count && compare(list->items[at].name, item->name) < 0)
        at++;
    if (at < list->count && compare(list->items[at].name, item->name) == 0) {
        list->items[at] = *item;
        return ERR_OK;
    }
    if (list->count == FDFS_META_ITEMS_MAX)
        return ERR(TOO_LARGE, 0);
    memmove(list->items + at + 1, list->items + at, (list->count - at) * sizeof *item);
    list->items[at] = *item;
    list->count++;
    return ERR_OK;
}

static err_t put_record(struct list *list, struct span record)
{
    const uint8_t *end = record.size > 0 ? memchr(record.data, NAME_END, record.size) : NULL;
    if (!end)
        return ERR(USAGE, 0);
    size_t name_size = (size_t)(end - record.data);
    struct item item = {
        span_of(record.data, name_size), span_of(end + 1, record.size - name_size - 1)};
    if (name_size == 0 || name_size > FDFS_META_NAME_MAX || item.value.size > FDFS_META_VALUE_MAX
        || memchr(item.value.data, NAME_END, item.value.size))
        return ERR(USAGE, 0);
    return put(list, &item);
}

static err_t put_all(struct list *list, struct span text)
{
    while (text.size > 0) {
        const uint8_t *end = memchr(text.data, RECORD_END, text.size);
        size_t size = end ? (size_t)(end - text.data) : text.size;
        TRY(put_record(list, span_of(text.data, size)));
        size += end ? 1 : 0;
        text = span_of(text.data + size, text.size - size);
    }
    return ERR_OK;
}

err_t fdfs_meta_merge(struct span old, struct span given, struct writer *w)
{
    struct list list = {.count = 0};
    TRY(put_all(&list, old));
    TRY(put_all(&list, given));
    for (size_t i = 0; i < list.count; i++) {
        if (i > 0)
            write_u8(w, RECORD_END);
        write_bytes(w, list.items[i].name.data, list.items[i].name.size);
        write_u8(w, NAME_END);
        write_bytes(w, list.items[i].value.data, list.items[i].value.size);
    }
    return w->failed ? ERR(TOO_LARGE, 0) : ERR_OK;
}

/* ---- tokens ---- */

void fdfs_token(
    struct span name, struct span secret, uint64_t time_s, char ret[FDFS_TOKEN_SIZE + 1])
{
    static const char hex[] = "0123456789abcdef";
    uint8_t digest[EVP_MAX_MD_SIZE];
    char number[24];
    unsigned size = 0;
    CHECK(secret.size <= FDFS_TOKEN_SECRET_MAX);
    int number_size = snprintf(number, sizeof number, "%llu", (unsigned long long)time_s);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_done = context && EVP_DigestInit_ex(context, EVP_md5(), NULL)
                   && EVP_DigestUpdate(context, name.data, name.size)
                   && EVP_DigestUpdate(context, secret.data, secret.size)
                   && EVP_DigestUpdate(context, number, (size_t)number_size)
                   && EVP_DigestFinal_ex(context, digest, &size);
    EVP_MD_CTX_free(context);
    ret[0] = '\0'; /* equals no token */
    if (!is_done || size != FDFS_TOKEN_SIZE / 2)
        return;
    for (unsigned i = 0; i < size; i++) {
        ret[2 * i] = hex[digest[i] >> 4];
        ret[2 * i + 1] = hex[digest[i] & 15];
    }
    ret[FDFS_TOKEN_SIZE] = '\0';
}

bool fdfs_token_is_valid(struct span token, struct span name, struct span secret, uint64_t time_s,
    uint64_t now_s, uint64_t ttl_s)
{
    char expected[FDFS_TOKEN_SIZE + 1];
    unsigned difference = 0;
    if (token.size != FDFS_TOKEN_SIZE || secret.size == 0 || secret.size > FDFS_TOKEN_SECRET_MAX)
        return false;
    if (now_s > time_s && now_s - time_s > ttl_s)
        return false;
    fdfs_token(name, secret, time_s, expected);
    if (expected[0] == '\0')
        return false;
    for (size_t i = 0; i < FDFS_TOKEN_SIZE; i++)
        difference |= (unsigned)(token.data[i] ^ (uint8_t)expected[i]);
    return difference == 0;
}
