/* Stores a text, changes it, reads it back, deletes it. Compiles as C11 and as C++11:
 *
 *   cc hello.c -o hello $(pkg-config --cflags --libs cairn)
 *   ./hello HOST:PORT                      of a tracker; try: cairn up
 */
#include <cairn/cairn.h>

#include <stdio.h>

static int failed(cairn_client *client, const char *what, int error)
{
    fprintf(stderr, "%s: %s: %s\n", what, cairn_error_name(error), cairn_client_error(client));
    return 1;
}

static int hello(cairn_client *client)
{
    struct cairn_uploaded stored;
    struct cairn_modified changed;
    struct cairn_deleted deleted;
    struct cairn_found found;
    char content[64];

    struct cairn_upload how = cairn_upload_default();
    how.suffix = "txt";
    how.content_type = "text/plain";
    int error = cairn_upload(client, &how, "hello", 5, &stored);
    if (error != CAIRN_OK)
        return failed(client, "upload", error);
    printf("%s\n", stored.id); /* the only way back to the file: keep it */

    /* only if nobody has changed it since */
    struct cairn_modify append = cairn_modify_default();
    append.mode = CAIRN_APPEND;
    append.if_version = stored.version;
    error = cairn_modify(client, stored.id, &append, ", world", 7, &changed);
    if (error != CAIRN_OK)
        return failed(client, "modify", error);

    error = cairn_find(client, stored.id, NULL, content, sizeof content, &found);
    if (error != CAIRN_OK)
        return failed(client, "find", error);
    printf("%.*s\n", (int)found.size, content);

    error = cairn_delete_file(client, stored.id, NULL, &deleted);
    return error == CAIRN_OK ? 0 : failed(client, "delete", error);
}

int main(int argc, char **argv)
{
    const char *trackers[1] = {"127.0.0.1:7700"};
    if (argc > 1)
        trackers[0] = argv[1];
    struct cairn_options options = cairn_options_default();
    options.trackers = trackers;
    options.tracker_count = 1;
    cairn_client *client;
    int error = cairn_client_open(&options, &client);
    if (error != CAIRN_OK) {
        fprintf(stderr, "open: %s\n", cairn_error_text(error));
        return 1;
    }
    int code = hello(client);
    cairn_client_close(client);
    return code;
}
