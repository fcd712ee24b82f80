/* The process as the command line sees it: its standard streams, its terminal, its names. */
#ifndef CAIRN_IO_PROCESS_H
#define CAIRN_IO_PROCESS_H

#include "io/io.h"

enum standard_stream { STANDARD_INPUT, STANDARD_OUTPUT, STANDARD_ERROR };

bool process_is_terminal(enum standard_stream stream);
/** Columns of the terminal behind `stream`; 0 if it is none. */
unsigned process_terminal_width(enum standard_stream stream);

/** At least this many bytes for process_host_name(). */
enum { HOST_NAME_SIZE = 65 };
/** Returns `text`; "localhost" if the host has no name. */
const char *process_host_name(char *text);
uint32_t process_id(void);

/** CPU time that this process has used, all threads together. */
struct process_cpu {
    uint64_t user_ns, system_ns;
};
struct process_cpu process_cpu(void);

/** A standard stream as a handle, for IO_READ and IO_WRITE at IO_OFFSET_STREAM. The handle is the
 * caller's, over a descriptor of its own (so that closing it leaves the stream open), and is
 * entered under `owner`. It works for files, pipes and terminals.
 * Errors: NO_RESOURCE (no descriptor), FAILED (the stream is closed). */
MUST err_t process_stream_open(
    struct io *io, enum standard_stream stream, struct owner *owner, struct io_handle *ret);

#endif
