#include "sim/store_model.h"

#include "sim/mem.h"

/* ---- what a change does to a state ---- */

/* False: the change is refused on this state, nothing happens. The content made is the caller's. */
static bool change_apply(const struct model_file *file, const struct model_change *change,
    const struct model_state *state, struct model_state *ret)
{
    if (!state->content || (change->if_version > 0 && change->if_version != state->version))
        return false;
    *ret = (struct model_state){.version = state->version + 1};
    if (change->kind == MODEL_REMOVE)
        return true;
    if (!file->is_mutable
        || (change->mode == MODIFY_WRITE && change->offset > state->content->size))
        return false;
    ret->content =
        model_content_change(change->mode, change->offset, change->content, state->content);
    return true;
}

/* ---- candidates ---- */

static void candidates_add(
    struct model_candidates *candidates, const struct model_state *state, bool is_made)
{
    CHECK(candidates->count < MODEL_CANDIDATES_MAX);
    candidates->states[candidates->count++] = *state;
    if (is_made)
        candidates->made[candidates->made_count++] = state->content;
}

/* The state, and everything that the changes not yet in `used` can make of it. */
static void candidates_spread(struct model_candidates *candidates, const struct model_file *file,
    const struct model_state *state, uint64_t used)
{
    unsigned index = 0;
    LIST_EACH (node, &file->pending) {
        const struct model_change *change = CONTAINER_OF(node, struct model_change, link);
        unsigned bit = index++;
        struct model_state next;
        if (used >> bit & 1 || !change_apply(file, change, state, &next))
            continue;
        candidates_add(candidates, &next, next.content != NULL);
        candidates_spread(candidates, file, &next, used | UINT64_C(1) << bit);
    }
}

void model_candidates_after_crash(const struct model_file *file, struct model_candidates *ret)
{
    ret->count = ret->made_count = 0;
    candidates_add(ret, &file->current, false);
    candidates_spread(ret, file, &file->current, 0);
    if (file->is_memory)
        candidates_add(ret, &(struct model_state){NULL, 0}, false);
}

void model_candidates_get(
    const struct model_file *file, uint64_t began, struct model_candidates *ret)
{
    ret->count = ret->made_count = 0;
    for (unsigned i = 0; i < file->history_count; i++)
        if (file->history[i].until > began)
            candidates_add(ret, &file->history[i].state, false);
    candidates_add(ret, &file->current, false);
    candidates_spread(ret, file, &file->current, 0);
}

void model_candidates_free(struct model_candidates *candidates)
{
    for (unsigned i = 0; i < candidates->made_count; i++)
        model_content_unref(candidates->made[i]);
    candidates->count = candidates->made_count = 0;
}

/* ---- files ---- */

void store_model_init(struct store_model *model)
{
    *model = (struct store_model){.seq = 1};
    list_init(&model->files);
    list_init(&model->uploads);
}

static void forget_history(struct model_file *file)
{
    for (unsigned i = 0; i < file->history_count; i++)
        model_content_unref(file->history[i].state.content);
    file->history_count = 0;
}

static void forget_pending(struct model_file *file)
{
    while (!list_is_empty(&file->pending))
        model_change_free(CONTAINER_OF(file->pending.next, struct model_change, link));
}

void store_model_free(struct store_model *model)
{
    for (struct list *node; (node = list_pop_front(&model->files));) {
        struct model_file *file = CONTAINER_OF(node, struct model_file, link);
        forget_history(file);
        forget_pending(file);
        model_content_unref(file->current.content);
        sim_free(file);
    }
    for (struct list *node; (node = list_pop_front(&model->uploads));) {
        struct model_upload *upload = CONTAINER_OF(node, struct model_upload, link);
        model_content_unref(upload->content);
        sim_free(upload);
    }
    sim_free(model->clocks);
}

bool store_model_take_clock(struct store_model *model, uint64_t clock)
{
    for (size_t i = model->clock_count; i > 0; i--)
        if (model->clocks[i - 1] == clock)
            return false;
    if (model->clock_count == model->clock_capacity) {
        model->clock_capacity = model->clock_capacity * 2 + 64;
        model->clocks = sim_grow(model->clocks, model->clock_capacity * sizeof(uint64_t));
    }
    model->clocks[model->clock_count++] = clock;
    return true;
}

struct model_file *store_model_uploaded(struct store_model *model, const struct fid *fid,
    struct model_content *content, bool is_mutable, bool is_memory, size_t metadata_size)
{
    struct model_file *file = SIM_NEW(struct model_file);
    file->fid = *fid;
    file->is_mutable = is_mutable;
    file->is_memory = is_memory;
    file->memory_seq = ++model->seq;
    file->metadata_size = metadata_size;
    file->current = (struct model_state){model_content_ref(content), 1};
    list_init(&file->pending);
    list_push_back(&model->files, &file->link);
    return file;
}

struct model_file *store_model_find(struct store_model *model, const struct identity *identity)
{
    LIST_EACH (node, &model->files) {
        struct model_file *file = CONTAINER_OF(node, struct model_file, link);
        if (identity_equals(&file->fid.identity, identity))
            return file;
    }
    return NULL;
}

/* ---- changes ---- */

void model_change_free(struct model_change *change)
{
    if (list_is_linked(&change->link))
        list_remove(&change->link);
    model_content_unref(change->content);
    sim_free(change);
}

void store_model_begin(
    struct store_model *model, struct model_file *file, struct model_change *change)
{
    change->began = ++model->seq;
    list_push_back(&file->pending, &change->link);
}

void store_model_refused(struct model_change *change)
{
    model_change_free(change);
}

static void remember(struct store_model *model, struct model_file *file)
{
    if (file->history_count == MODEL_HISTORY_MAX) {
        file->history_lost = file->history[0].until;
        model_content_unref(file->history[0].state.content);
        memmove(
            &file->history[0], &file->history[1], sizeof file->history[0] * --file->history_count);
    }
    file->history[file->history_count].state = file->current;
    file->history[file->history_count++].until = ++model->seq;
}

static bool answer_fits(const struct model_change *change, const struct model_state *state,
    bool existed, uint64_t version, uint64_t size)
{
    if (change->kind == MODEL_REMOVE)
        return existed && !state->content;
    return state->content && state->version == version && state->content->size == size;
}

/* One of the states that the file may be in, changed by this change, is what was answered. */
static bool find_answer(const struct model_file *file, const struct model_change *change,
    bool existed, uint64_t version, uint64_t size, struct model_state *ret)
{
    struct model_candidates candidates;
    model_candidates_after_crash(file, &candidates);
    bool is_found = false;
    for (unsigned i = 0; i < candidates.count && !is_found; i++) {
        if (!change_apply(file, change, &candidates.states[i], ret)) {
            is_found = change->kind == MODEL_REMOVE && !existed && !candidates.states[i].content;
            if (is_found)
                *ret = (struct model_state){NULL, 0};
            continue;
        }
        is_found = answer_fits(change, ret, existed, version, size);
        if (!is_found)
            model_content_unref(ret->content);
    }
    model_candidates_free(&candidates);
    return is_found;
}

bool store_model_acknowledged(struct store_model *model, struct model_file *file,
    struct model_change *change, bool existed, uint64_t version, uint64_t size)
{
    struct model_state next;
    list_remove(&change->link);
    bool is_possible = find_answer(file, change, existed, version, size, &next);
    if (is_possible) {
        remember(model, file);
        file->current = next;
    }
    model_change_free(change);
    return is_possible;
}

void store_model_durable(struct store_model *model, uint8_t stream, uint64_t began)
{
    LIST_EACH (node, &model->files) {
        struct model_file *file = CONTAINER_OF(node, struct model_file, link);
        if (file->is_memory && file->fid.stream == stream && file->memory_seq < began)
            file->is_memory = false;
    }
}

void store_model_settle(struct model_file *file, const struct model_state *state)
{
    struct model_content *content = model_content_ref(state->content);
    uint64_t version = state->version;
    forget_history(file);
    forget_pending(file);
    model_content_unref(file->current.content);
    file->current = (struct model_state){content, version};
    file->is_memory = false;
}
