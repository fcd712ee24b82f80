#include "io/backend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "io/epoll.h"
#include "io/uring.h"

const char *const backend_choices[] = {"auto", "io_uring", "epoll", NULL};

static err_t choice_of_text(const char *text, enum backend_choice *ret)
{
    for (unsigned i = 0; i < BACKEND_CHOICE_COUNT; i++) {
        if (strcmp(text, backend_choices[i]) == 0) {
            *ret = (enum backend_choice)i;
            return ERR_OK;
        }
    }
    return ERR(USAGE, 0);
}

static err_t choose(enum backend_choice wanted, enum backend_choice *ret)
{
    const char *environment = getenv("CAIRN_IO_BACKEND");
    if (wanted == BACKEND_AUTO && environment != NULL && environment[0] != '\0')
        return choice_of_text(environment, ret);
    *ret = wanted;
    return ERR_OK;
}

static err_t new_uring(const struct backend_options *options, struct io **ret)
{
    return uring_io_new(&(struct uring_options){.entries = options->entries,
                            .loop_index = options->loop_index,
                            .loop_count = options->loop_count,
                            .pin = options->pin},
        ret);
}

static err_t new_epoll(const struct backend_options *options, struct io **ret)
{
    return epoll_io_new(&(struct epoll_options){.loop_index = options->loop_index,
                            .loop_count = options->loop_count,
                            .pin = options->pin},
        ret);
}

err_t backend_io_new(const struct backend_options *options, struct io **ret)
{
    enum backend_choice choice;
    TRY(choose(options->choice, &choice));
    if (choice == BACKEND_EPOLL)
        return new_epoll(options, ret);
    err_t err = new_uring(options, ret);
    if (choice == BACKEND_AUTO && err_has(err, ERR_CODE_UNSUPPORTED))
        return new_epoll(options, ret);
    return err;
}

enum backend_choice backend_choice_of(const struct io *io)
{
    enum backend_choice choice = BACKEND_AUTO;
    err_t err = choice_of_text(io->backend->name, &choice);
    CHECK(!err_is(err));
    return choice;
}

const char *backend_explain(err_t err)
{
    if (err_has(err, ERR_CODE_USAGE))
        return "CAIRN_IO_BACKEND must be auto, io_uring or epoll";
    if (err.os == EAGAIN)
        return "no thread may be started: raise the limit of processes (ulimit -u)";
    return uring_explain(err);
}

const char *backend_why(const struct io *io, enum backend_choice wanted)
{
    enum backend_choice choice;
    struct io *probe;
    err_t err = choose(wanted, &choice);
    if (err_is(err) || choice != BACKEND_AUTO || backend_choice_of(io) == BACKEND_IO_URING)
        return NULL;
    err = new_uring(&(struct backend_options){.entries = 8}, &probe);
    if (err_is(err))
        return uring_explain(err);
    probe->backend->free(probe);
    return NULL;
}
