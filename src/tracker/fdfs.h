/* FastDFS's questions to a tracker: what fdfs.c (whom to ask) and fdfs_list.c (who is there) share. */
#ifndef CAIRN_TRACKER_FDFS_H
#define CAIRN_TRACKER_FDFS_H

#include "tracker/internal.h"
#include "wire/fdfs_answer.h"

enum { FDFS_PAGES = 2 };

/** Bytes that every list fits into. */
size_t fdfs_page_size(const struct registry_tables *tables);

/** "10.0.0.7" of "10.0.0.7:7710", "::1" of "[::1]:7710" */
void fdfs_host_of(const char *address, char ret[REGISTRY_ADDRESS_MAX]);

/** Write what a list or a state asks for. Returns the status. */
uint8_t fdfs_list(struct tracker *tracker, const struct fdfs_head *head, struct writer *w);

#endif
