/* Manifests: which file went where. Text, one line per file, written after its acknowledgement:
 *
 *   # cairn manifest 1
 *   ID <TAB> SIZE <TAB> CRC32 <TAB> MTIME_NS <TAB> PATH <LF>
 *
 * SIZE in bytes and MTIME_NS (unix nanoseconds; 0: unknown, standard input) in decimal, CRC32 of the
 * content as 8 hex digits, PATH relative with "/" between its parts. In PATH a backslash is \\, and
 * bytes below 0x20 and 0x7f are \xNN; all other bytes stand for themselves. Lines that begin with
 * '#' are comments. A last line without its LF was being written when the writer died: it does not
 * count. When a path comes twice, the last line counts. */
#ifndef CAIRN_BIN_MANIFEST_H
#define CAIRN_BIN_MANIFEST_H

#include "base/text.h"
#include "wire/fid.h"

enum {
    MANIFEST_PATH_MAX = 4096,                        /* bytes with NUL, as Linux has it */
    MANIFEST_LINE_MAX = 160 + 4 * MANIFEST_PATH_MAX, /* all of the path escaped */
};

#define MANIFEST_HEADER "# cairn manifest 1\n"

struct manifest_line {
    char id[FID_TEXT_MAX];
    char path[MANIFEST_PATH_MAX];
    uint64_t size;
    uint64_t modify_ns;
    uint32_t crc;
};

/** Append `line` with its LF. */
void manifest_format(const struct manifest_line *line, struct text *text);

enum manifest_result { MANIFEST_LINE, MANIFEST_COMMENT, MANIFEST_BAD };

/** Decode one line, given without its LF. Pure. MANIFEST_BAD: not of this form. Says nothing about
 * where the path leads: see manifest_path_is_safe. */
enum manifest_result manifest_parse(struct span bytes, struct manifest_line *ret);

/** True for a relative path that stays below the directory where it starts: no empty part, no ".",
 * no "..", no leading "/". */
bool manifest_path_is_safe(const char *path);

/** What a path of the command line is called in manifests: leading "/", "./" and "../" taken off,
 * "." parts and double slashes removed. False: nothing is left, a ".." stands in the middle, or it is
 * too long. */
MUST bool manifest_path_normalize(const char *path, char ret[MANIFEST_PATH_MAX]);

#endif
