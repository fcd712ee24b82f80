#include "wire/http_form.h"

err_t http_form_init(struct http_form *form, struct span content_type)
{
    static const char type[] = "multipart/form-data";
    char boundary[HTTP_BOUNDARY_MAX + 1];
    *form = (struct http_form){.matched = 2}; /* the first delimiter has no line before it */
    if (content_type.size < sizeof type - 1
        || !http_word_equals(span_of(content_type.data, sizeof type - 1), type)
        || !http_parameter(content_type, "boundary", boundary, sizeof boundary)
        || boundary[0] == '\0')
        return ERR(USAGE, 0);
    memcpy(form->delimiter, "\r\n--", 4);
    size_t size = strlen(boundary);
    memcpy(form->delimiter + 4, boundary, size + 1);
    form->delimiter_size = (uint32_t)(size + 4);
    return ERR_OK;
}

/* How many bytes at the end of `bytes` could begin a delimiter. */
static size_t suffix_match(const struct http_form *form, struct span bytes)
{
    size_t most = bytes.size < form->delimiter_size - 1 ? bytes.size : form->delimiter_size - 1;
    for (size_t size = most; size > 0; size--)
        if (memcmp(bytes.data + bytes.size - size, form->delimiter, size) == 0)
            return size;
    return 0;
}

/* A delimiter that began in the piece before: goes on here, or what was kept is content after all.
 * True: something is to be given out or was used. */
static bool go_on_matching(
    struct http_form *form, struct span bytes, size_t *ret_used, struct span *ret_data)
{
    uint32_t left = form->delimiter_size - form->matched;
    size_t have = bytes.size < left ? bytes.size : left;
    if (memcmp(bytes.data, form->delimiter + form->matched, have) == 0) {
        form->matched += (uint32_t)have;
        *ret_used = have;
        if (form->matched == form->delimiter_size) {
            form->at = form->at == HTTP_FORM_FILE ? HTTP_FORM_OVER : HTTP_FORM_AFTER;
            form->matched = 0;
            form->head_size = 0;
        }
        return true;
    }
    /* The kept bytes are the beginning of the delimiter, whose CR stands at its start only: none of
     * its later bytes can begin another. */
    *ret_data = span_of(form->delimiter, form->matched);
    form->matched = 0;
    return true;
}

static err_t next_content(
    struct http_form *form, struct span bytes, size_t *ret_used, struct span *ret_data)
{
    if (form->matched > 0) {
        (void)go_on_matching(form, bytes, ret_used, ret_data);
        return ERR_OK;
    }
    const uint8_t *at = memmem(bytes.data, bytes.size, form->delimiter, form->delimiter_size);
    if (at) {
        size_t size = (size_t)(at - bytes.data);
        *ret_data = span_of(bytes.data, size);
        *ret_used = size + form->delimiter_size;
        form->at = form->at == HTTP_FORM_FILE ? HTTP_FORM_OVER : HTTP_FORM_AFTER;
        form->head_size = 0;
        return ERR_OK;
    }
    size_t kept = suffix_match(form, bytes);
    form->matched = (uint32_t)kept;
    *ret_data = span_of(bytes.data, bytes.size - kept);
    *ret_used = bytes.size;
    return ERR_OK;
}

/* "C:\\dir\\a.png", "dir/a.png" -> "a.png" */
static void keep_base_name(char *name)
{
    char *base = name;
    for (char *at = name; *at != '\0'; at++)
        if (*at == '/' || *at == '\\')
            base = at + 1;
    memmove(name, base, strlen(base) + 1);
}

static void read_line(struct http_form *form, struct span line)
{
    static const char disposition[] = "content-disposition:", type[] = "content-type:";
    if (line.size >= sizeof disposition - 1
        && http_word_equals(span_of(line.data, sizeof disposition - 1), disposition)) {
        if (http_parameter(line, "filename", form->name, sizeof form->name)) {
            keep_base_name(form->name);
            form->was_found = true;
        }
    } else if (line.size >= sizeof type - 1
               && http_word_equals(span_of(line.data, sizeof type - 1), type)) {
        struct span value = span_of(line.data + sizeof type - 1, line.size - (sizeof type - 1));
        while (value.size > 0 && (value.data[0] == ' ' || value.data[0] == '\t'))
            value = span_of(value.data + 1, value.size - 1);
        if (!span_to_text(value, form->type, sizeof form->type))
            form->type[0] = '\0';
    }
}

/* The head of a part is whole: does a file follow? */
static void read_head(struct http_form *form)
{
    size_t at = 0;
    form->type[0] = '\0';
    while (at < form->head_size) {
        const char *end = memchr(form->head + at, '\n', form->head_size - at);
        size_t size = end ? (size_t)(end - form->head) - at : form->head_size - at;
        struct span line = span_of(form->head + at, size);
        if (line.size > 0 && line.data[line.size - 1] == '\r')
            line.size--;
        read_line(form, line);
        at += size + 1;
    }
    form->at = form->was_found ? HTTP_FORM_FILE : HTTP_FORM_SKIP;
}

/* Behind a delimiter: "--" ends the form, else a line end and the head of a part follow. */
static err_t next_head(struct http_form *form, struct span bytes, size_t *ret_used)
{
    size_t used = 0;
    while (used < bytes.size) {
        if (form->head_size == HTTP_FORM_PART_MAX)
            return ERR(PROTOCOL, 0);
        form->head[form->head_size++] = (char)bytes.data[used++];
        if (form->at == HTTP_FORM_AFTER && form->head_size == 2) {
            if (memcmp(form->head, "\r\n", 2) != 0)
                return ERR(PROTOCOL, 0); /* "--": a form without a file */
            form->at = HTTP_FORM_HEAD;
        } else if (form->head_size >= 4
                   && memcmp(form->head + form->head_size - 4, "\r\n\r\n", 4) == 0) {
            read_head(form);
            break;
        }
    }
    *ret_used = used;
    return ERR_OK;
}

err_t http_form_next(
    struct http_form *form, struct span bytes, size_t *ret_used, struct span *ret_data)
{
    *ret_used = 0;
    *ret_data = span_of(NULL, 0);
    if (bytes.size == 0)
        return ERR_OK;
    switch (form->at) {
    case HTTP_FORM_SKIP: {
        TRY(next_content(form, bytes, ret_used, ret_data));
        if (*ret_used == 0) /* what had been kept was none: looked at, and passed over */
            TRY(next_content(form, bytes, ret_used, ret_data));
        *ret_data = span_of(NULL, 0);
        return ERR_OK;
    }
    case HTTP_FORM_FILE:
        return next_content(form, bytes, ret_used, ret_data);
    case HTTP_FORM_AFTER:
    case HTTP_FORM_HEAD:
        return next_head(form, bytes, ret_used);
    case HTTP_FORM_OVER:
        *ret_used = bytes.size;
        break;
    }
    return ERR_OK;
}
