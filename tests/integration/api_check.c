/* Every function of include/cairn/cairn.h against a real cluster, with the public header alone:
 *
 *   api_check HOST:PORT       of a tracker; exit 0 if all is as the header says */
#include <cairn/cairn.h>

#include <stdio.h>
#include <stdlib.h>

#define CONTENT_SIZE (3 * 1000 * 1000 + 17)

#define EXPECT(condition)                                                                   \
    do {                                                                                    \
        if (!(condition)) {                                                                 \
            fprintf(stderr, "%s:%d: %s (last error: %s)\n", __FILE__, __LINE__, #condition, \
                cairn_client_error(client));                                                \
            exit(1);                                                                        \
        }                                                                                   \
    } while (0)

struct stream {
    const unsigned char *data;
    size_t size, at;
    size_t give_up_at; /* 0: never */
};

static int64_t give(void *context, void *buffer, size_t size)
{
    struct stream *stream = context;
    size_t count = stream->size - stream->at < size ? stream->size - stream->at : size;
    if (count > 12345)
        count = 12345;
    if (stream->give_up_at > 0 && stream->at >= stream->give_up_at)
        return -1;
    memcpy(buffer, stream->data + stream->at, count);
    stream->at += count;
    return (int64_t)count;
}

static int compare(void *context, const void *data, size_t size)
{
    struct stream *stream = context;
    if (stream->give_up_at > 0 && stream->at >= stream->give_up_at)
        return 1;
    if (size > stream->size - stream->at || memcmp(stream->data + stream->at, data, size) != 0)
        return 2;
    stream->at += size;
    return 0;
}

static unsigned char content[CONTENT_SIZE], back[CONTENT_SIZE];

static void check_streams(cairn_client *client)
{
    struct cairn_uploaded stored;
    struct cairn_found found;
    struct stream from = {content, CONTENT_SIZE, 0, 0}, to = {content, CONTENT_SIZE, 0, 0};
    EXPECT(cairn_upload_stream(client, NULL, CONTENT_SIZE, give, &from, &stored) == CAIRN_OK);
    EXPECT(stored.size == CONTENT_SIZE && stored.machine > 0 && stored.holder_count > 0);
    EXPECT(cairn_find_stream(client, stored.id, NULL, compare, &to, &found) == CAIRN_OK);
    EXPECT(to.at == CONTENT_SIZE && found.total == CONTENT_SIZE && found.crc == stored.crc);

    from = (struct stream){content, 1000, 0, 0};
    EXPECT(cairn_upload_stream(client, NULL, CAIRN_SIZE_UNKNOWN, give, &from, &stored) == CAIRN_OK);
    EXPECT(stored.size == 1000);
    from = (struct stream){content, 1000, 0, 0};
    EXPECT(cairn_upload_stream(client, NULL, 1001, give, &from, &stored) == CAIRN_USAGE);
    from = (struct stream){content, CONTENT_SIZE, 0, 500000};
    EXPECT(
        cairn_upload_stream(client, NULL, CONTENT_SIZE, give, &from, &stored) == CAIRN_CANCELLED);
    from = (struct stream){content, CONTENT_SIZE, 0, 0};
    EXPECT(cairn_upload_stream(client, NULL, CONTENT_SIZE, give, &from, &stored) == CAIRN_OK);
    to = (struct stream){content, CONTENT_SIZE, 0, 1};
    EXPECT(cairn_find_stream(client, stored.id, NULL, compare, &to, &found) == CAIRN_CANCELLED);
    EXPECT(cairn_find(client, stored.id, NULL, back, 10, &found) == CAIRN_TOO_LARGE);
    EXPECT(cairn_find(client, stored.id, NULL, back, sizeof back, &found) == CAIRN_OK);
    EXPECT(memcmp(back, content, CONTENT_SIZE) == 0);
}

static void check_ranges(cairn_client *client, const char *id)
{
    struct cairn_find how = cairn_find_default();
    struct cairn_found found;
    how.offset = 3;
    how.size = 4;
    EXPECT(cairn_find(client, id, &how, back, sizeof back, &found) == CAIRN_OK);
    EXPECT(found.size == 4 && found.offset == 3 && memcmp(back, content + 3, 4) == 0);
    how.offset = 1000000;
    EXPECT(cairn_find(client, id, &how, back, sizeof back, &found) == CAIRN_RANGE);
    how = cairn_find_default();
    how.machine = 999;
    EXPECT(cairn_find(client, id, &how, back, sizeof back, &found) == CAIRN_UNAVAILABLE);
}

static void check_modify(cairn_client *client, const char *id, struct cairn_file_version version)
{
    struct cairn_modify how = cairn_modify_default();
    struct cairn_modified modified;
    struct cairn_stated stated;
    how.mode = CAIRN_APPEND;
    how.if_version = version;
    EXPECT(cairn_modify(client, id, &how, "tail", 4, &modified) == CAIRN_OK);
    EXPECT(modified.size == 104);
    EXPECT(cairn_modify(client, id, &how, "tail", 4, &modified) == CAIRN_CONFLICT);
    how = cairn_modify_default();
    how.mode = CAIRN_WRITE;
    how.offset = 50;
    struct stream from = {(const unsigned char *)"XYZ", 3, 0, 0};
    EXPECT(cairn_modify_stream(client, id, &how, 3, give, &from, &modified) == CAIRN_OK);
    how = cairn_modify_default();
    how.mode = CAIRN_TRUNCATE;
    how.offset = 52;
    EXPECT(cairn_modify(client, id, &how, NULL, 0, &modified) == CAIRN_OK);
    EXPECT(cairn_stat(client, id, &stated) == CAIRN_OK);
    EXPECT(stated.size == 52 && stated.crc == modified.crc && stated.is_mutable);
    EXPECT(strcmp(stated.content_type, "text/x") == 0 && strcmp(stated.metadata, "meta") == 0);
    how = cairn_modify_default();
    EXPECT(cairn_modify(client, id, &how, "new", 3, &modified) == CAIRN_OK && modified.size == 3);
    how.mode = 77;
    EXPECT(cairn_modify(client, id, &how, "new", 3, &modified) == CAIRN_USAGE);
}

static int count_entry(void *context, const struct cairn_entry *entry)
{
    *(size_t *)context += entry->size == 3;
    return 0;
}

static int stop_at_entry(void *context, const struct cairn_entry *entry)
{
    (void)context;
    (void)entry;
    return 1;
}

static void check_list_and_status(cairn_client *client)
{
    static char status[1 << 20];
    size_t count = 0, size;
    EXPECT(cairn_list_files(client, NULL, count_entry, &count) == CAIRN_OK && count == 1);
    EXPECT(cairn_list_files(client, NULL, stop_at_entry, NULL) == CAIRN_CANCELLED);
    EXPECT(cairn_status(client, NULL, "", status, sizeof status, &size) == CAIRN_OK);
    EXPECT(size == strlen(status) && strstr(status, "storages") != NULL);
    EXPECT(cairn_status(client, NULL, "", status, 10, &size) == CAIRN_TOO_LARGE);
    EXPECT(cairn_status(client, "nobody", "", status, 10, &size) == CAIRN_USAGE);
}

static void check_all(cairn_client *client)
{
    struct cairn_uploaded stored;
    struct cairn_deleted deleted;
    struct cairn_found found;
    struct cairn_upload how = cairn_upload_default();
    how.mutability = CAIRN_MUTABLE_YES;
    how.content_type = "text/x";
    how.metadata = "meta";
    how.slack_percent = 50;
    EXPECT(cairn_upload(client, &how, content, 100, &stored) == CAIRN_OK);
    check_ranges(client, stored.id);
    check_modify(client, stored.id, stored.version);
    check_streams(client);
    check_list_and_status(client);
    EXPECT(cairn_delete_file(client, stored.id, NULL, &deleted) == CAIRN_OK && deleted.existed);
    EXPECT(cairn_find(client, stored.id, NULL, back, sizeof back, &found) == CAIRN_NOT_FOUND);
    EXPECT(strstr(cairn_client_error(client), "127.0.0.1:") != NULL);
    EXPECT(cairn_stat(client, "no id", NULL) == CAIRN_USAGE);
    how.slack_bytes = 7;
    EXPECT(cairn_upload(client, &how, content, 100, &stored) == CAIRN_USAGE);
    how = cairn_upload_default();
    how.mutability = CAIRN_MUTABLE_NO;
    EXPECT(cairn_upload(client, &how, NULL, 0, &stored) == CAIRN_OK && stored.size == 0);
    struct cairn_modified modified;
    EXPECT(cairn_modify(client, stored.id, NULL, "x", 1, &modified) == CAIRN_IMMUTABLE);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    for (size_t i = 0; i < CONTENT_SIZE; i++)
        content[i] = (unsigned char)(i * 31 + i / 251);
    const char *trackers[] = {"127.0.0.1:1", argv[1]}; /* the first is not there */
    struct cairn_options options = cairn_options_default();
    cairn_client *client = NULL;
    options.trackers = trackers;
    options.tracker_count = 2;
    if (cairn_client_open(&options, &client) != CAIRN_OK)
        return 1;
    check_all(client);
    cairn_client_close(client);
    cairn_client_close(NULL);
    options.secret = "short";
    if (cairn_client_open(&options, &client) != CAIRN_USAGE)
        return 1;
    return 0;
}
