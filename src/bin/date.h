/* Points in time as text for people. Pure: UTC, no locale, no time zone file. */
#ifndef CAIRN_BIN_DATE_H
#define CAIRN_BIN_DATE_H

#include <stdint.h>

enum { DATE_TEXT_MAX = 128 }; /* room for numbers that the compiler thinks of */

/** Unix nanoseconds -> "2026-11-23T12:55:31.123Z". Returns `text`. */
const char *date_format(uint64_t time_ns, char text[DATE_TEXT_MAX]);

#endif
