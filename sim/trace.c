/* What happened, as a hash for machines and as lines for people. */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "sim/parts.h"

const char *sim_mount_inode_path(
    const struct sim_mount *mount, const struct sim_inode *inode, char text[2 * SIM_PATH_MAX])
{
    char rest[SIM_PATH_MAX];
    const char *inner = sim_inode_path(&mount->disk->tree, inode, rest);
    (void)snprintf(text, 2 * SIM_PATH_MAX, "%s%s%s", mount->path, *inner ? "/" : "", inner);
    return text;
}

static void print_time(const struct sim_world *world)
{
    (void)fprintf(world->trace, "%5" PRIu64 ".%09" PRIu64 " ", world->now_ns / 1000000000,
        world->now_ns % 1000000000);
}

void sim_world_keep_notes(struct sim_world *world, struct sim_notes *notes)
{
    world->notes = notes;
}

__attribute__((format(printf, 2, 0))) static void keep_note(
    struct sim_world *world, const char *format, va_list arguments)
{
    char *line = world->notes->lines[world->notes->count++ % SIM_NOTES_MAX];
    int size = snprintf(line, SIM_NOTE_SIZE, "%5" PRIu64 ".%06" PRIu64 " ",
        world->now_ns / 1000000000, world->now_ns / 1000 % 1000000);
    (void)vsnprintf(line + size, SIM_NOTE_SIZE - (size_t)size, format, arguments);
}

void sim_world_note(struct sim_world *world, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (world->notes)
        keep_note(world, format, arguments);
    va_end(arguments);
    if (!world->trace)
        return;
    va_start(arguments, format);
    print_time(world);
    (void)vfprintf(world->trace, format, arguments);
    (void)fputc('\n', world->trace);
    va_end(arguments);
}

void sim_world_trace_to(struct sim_world *world, FILE *file)
{
    world->trace = file;
    world->trace_is_brief = false;
}

void sim_world_trace_brief(struct sim_world *world, FILE *file)
{
    world->trace = file;
    world->trace_is_brief = true;
}

static void print_object(const struct sim_task *task)
{
    FILE *out = task->node->world->trace;
    const struct sim_description *description = task->description;
    char text[2 * SIM_PATH_MAX];
    if (description && description->inode)
        (void)fprintf(
            out, " %s", sim_mount_inode_path(description->mount, description->inode, text));
    char address[IO_ADDRESS_TEXT_MAX];
    if (task->op->address)
        (void)fprintf(out, " %s", io_address_format(task->op->address, address));
    if (task->op->path)
        (void)fprintf(out, "%s%s", description ? "/" : " ", task->op->path);
    if (task->op->path_to)
        (void)fprintf(out, " -> %s", task->op->path_to);
}

static uint64_t bytes_asked(const struct io_op *op)
{
    uint64_t size = op->size;
    for (unsigned i = 0; i < op->iov_count; i++)
        size += op->iov[i].iov_len;
    return size;
}

static void print_task(const struct sim_task *task, int64_t result)
{
    const struct io_op *op = task->op;
    FILE *out = task->node->world->trace;
    print_time(task->node->world);
    (void)fprintf(out, "%s", task->node->name);
    if (task->loop)
        (void)fprintf(out, ".%u", task->loop->io.loop_index);
    (void)fprintf(out, " %s%s", io_kind_name(op->kind),
        op->kind == IO_WRITE && op->write_flags & IO_WRITE_DSYNC ? "-dsync" : "");
    if (op->fd != IO_FD_NONE && op->kind != IO_NOP && op->kind != IO_TIMER)
        (void)fprintf(out, " #%d", op->fd);
    print_object(task);
    uint64_t asked = bytes_asked(op);
    if (asked > 0)
        (void)fprintf(out, " @%" PRIu64 "+%" PRIu64, op->offset, asked);
    if (result < 0)
        (void)fprintf(out, " = %s\n", strerrorname_np((int)-result));
    else
        (void)fprintf(out, " = %" PRId64 "\n", result);
}

/* The first bytes of the data: content that differs between two runs is seen early. */
static uint64_t data_sample(const struct io_op *op, int64_t result)
{
    uint64_t sample = 0;
    bool has_data =
        op->kind == IO_READ || op->kind == IO_WRITE || op->kind == IO_RECV || op->kind == IO_SEND;
    if (result > 0 && op->iov_count > 0 && has_data) {
        size_t size = op->iov[0].iov_len < 8 ? op->iov[0].iov_len : 8;
        memcpy(&sample, op->iov[0].iov_base, (size_t)result < size ? (size_t)result : size);
    }
    return sample;
}

void sim_trace_task(const struct sim_task *task, int64_t result)
{
    struct sim_world *world = task->node->world;
    const struct io_op *op = task->op;
    world->op_count++;
    sim_world_mix(world, world->now_ns);
    sim_world_mix(world,
        (uint64_t)task->node->index << 32 | (uint64_t)op->kind << 16 | (uint64_t)(op->fd & 0xffff));
    sim_world_mix(world, op->offset);
    sim_world_mix(world, op->size ^ (uint64_t)result);
    sim_world_mix(world, data_sample(op, result));
    if (world->trace && !world->trace_is_brief)
        print_task(task, result);
}
