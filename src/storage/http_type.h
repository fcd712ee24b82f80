/* Content types of suffixes. */
#ifndef CAIRN_STORAGE_HTTP_TYPE_H
#define CAIRN_STORAGE_HTTP_TYPE_H

/** The content type that goes with an id's suffix part ("123.jpg"); "application/octet-stream" for
 * others. Static text. Source: IANA media types. */
const char *http_type_of_suffix(const char *suffix_part);

#endif
