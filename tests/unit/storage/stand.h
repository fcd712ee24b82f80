/* A store on a simulated node, and operations on it that must succeed, in one line each. */
#ifndef CAIRN_TESTS_STORAGE_STAND_H
#define CAIRN_TESTS_STORAGE_STAND_H

#include "sim/store_call.h"

struct stand {
    struct sim_world *world;
    struct store_lab lab;
};

/** options NULL: small sizes. */
void stand_open(struct stand *stand, uint64_t seed, const struct store_lab_options *options);
void stand_reopen(struct stand *stand);
void stand_close(struct stand *stand);

/** The `mark`-th content of this size. */
void stand_fill(uint8_t *data, size_t size, unsigned mark);
struct fid stand_upload(struct stand *stand, size_t size, unsigned mark);
/** An upload that may fail; *ret_fid if it did not. Errors: those of upload_start. */
MUST err_t stand_try_upload(struct stand *stand, size_t size, unsigned mark, struct fid *ret_fid);
void stand_modify(struct stand *stand, const struct fid *fid, uint8_t mode, uint64_t offset,
    size_t size, unsigned mark);
/** Errors: those of modify_start. */
MUST err_t stand_try_modify(struct stand *stand, const struct fid *fid, uint8_t mode,
    uint64_t offset, size_t size, unsigned mark);
void stand_remove(struct stand *stand, const struct fid *fid, bool existed);
/** How a find ends. Errors: those of find_start. */
MUST err_t stand_find_err(struct stand *stand, const struct fid *fid);
void stand_expect_content(
    struct stand *stand, const struct fid *fid, const uint8_t *data, size_t size);
void stand_expect(struct stand *stand, const struct fid *fid, size_t size, unsigned mark);

#endif
