#include "sim/cluster_model.h"

#include <stdarg.h>

#include "sim/mem.h"

__attribute__((format(printf, 3, 4))) static bool broken(
    struct cluster_model *model, const struct cluster_file *file, const char *format, ...)
{
    char text[CLUSTER_MODEL_TEXT / 2];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    (void)snprintf(model->failure, sizeof model->failure, "%s: %s", file ? file->id : "", text);
    return false;
}

static unsigned long long counter_of(struct version version)
{
    return (unsigned long long)version.counter;
}

/* ---- life ---- */

void cluster_model_init(struct cluster_model *model, unsigned storages)
{
    *model = (struct cluster_model){.storages = storages};
    list_init(&model->files);
}

struct cluster_change *cluster_change_new(uint8_t type, struct model_content *body)
{
    struct cluster_change *change = SIM_NEW(struct cluster_change);
    change->type = type;
    change->body = model_content_ref(body);
    return change;
}

void cluster_change_free(struct cluster_change *change)
{
    if (list_is_linked(&change->link))
        list_remove(&change->link);
    model_content_unref(change->body);
    sim_free(change);
}

static void version_free(struct cluster_version *version)
{
    list_remove(&version->link);
    model_content_unref(version->content);
    sim_free(version);
}

void cluster_model_forget(struct cluster_file *file)
{
    list_remove(&file->link);
    LIST_EACH_SAFE (at, &file->changes)
        cluster_change_free(CONTAINER_OF(at, struct cluster_change, link));
    LIST_EACH_SAFE (at, &file->versions)
        version_free(CONTAINER_OF(at, struct cluster_version, link));
    sim_free(file);
}

void cluster_model_free(struct cluster_model *model)
{
    LIST_EACH_SAFE (node, &model->files)
        cluster_model_forget(CONTAINER_OF(node, struct cluster_file, link));
}

/* ---- versions and their contents ---- */

static struct cluster_version *version_find(const struct cluster_file *file, struct version version)
{
    LIST_EACH (node, &file->versions) {
        struct cluster_version *it = CONTAINER_OF(node, struct cluster_version, link);
        if (version_equals(it->version, version))
            return it;
    }
    return NULL;
}

/* Takes over the caller's reference. */
static struct cluster_version *version_note(
    struct cluster_file *file, struct version version, struct model_content *content)
{
    struct cluster_version *it = version_find(file, version);
    if (!it) {
        it = SIM_NEW(struct cluster_version);
        it->version = version;
        list_push_back(&file->versions, &it->link);
    }
    model_content_unref(it->content);
    it->content = content;
    it->is_ghost = false;
    return it;
}

static bool contents_equal(const struct model_content *a, const struct model_content *b)
{
    return a->size == b->size && model_content_crc(a) == model_content_crc(b);
}

static bool view_matches(const struct cluster_view *view, const struct model_content *content)
{
    if (content->size != view->total)
        return false;
    return !view->data
           || model_content_matches(content, view->offset, span_of(view->data, (size_t)view->size));
}

static bool may_still_be_made(const struct cluster_change *change)
{
    return change->outcome == CHANGE_PENDING || change->outcome == CHANGE_UNKNOWN
           || (change->outcome == CHANGE_DONE && change->may_repeat);
}

/* A search for how a version with this content may have come about. */
struct search {
    const struct cluster_file *file;
    bool (*fits)(const void *context, const struct model_content *content);
    const void *context;
    struct model_content *found; /* the caller's */
    unsigned distinct;           /* contents that fit, the same ones counted once */
    unsigned steps;
};

static void search_take(struct search *search, struct model_content *content)
{
    if (!search->fits(search->context, content)) {
        model_content_unref(content);
        return;
    }
    bool is_same = search->found && contents_equal(search->found, content);
    search->distinct += !is_same;
    if (search->found)
        model_content_unref(content);
    else
        search->found = content;
}

static bool is_based_on(const struct cluster_change *change, struct version base)
{
    struct version wanted = change->if_version;
    return version_is_none(wanted) || version_equals(wanted, base)
           || (base.machine == 0 && wanted.counter == base.counter);
}

/* Every content that the file may have had before `change` gave it this counter: made by a version
 * that is known, or by other changes of which nobody told, one upon the other. */
struct bases {
    struct search *search;
    const struct cluster_change *change;
    uint64_t counter;    /* that the outcome of `change` has */
    struct bases *above; /* the change that comes upon it; NULL: it is the last */
};

static void bases_walk(struct bases *bases);

/* The base was made, by a machine that is not known if it is 0: now the change upon it. */
static void bases_apply(struct bases *bases, struct version version, struct model_content *content)
{
    const struct cluster_change *change = bases->change;
    bool is_possible = is_based_on(change, version)
                       && !(change->mode == MODIFY_WRITE && change->offset > content->size);
    struct model_content *made =
        is_possible ? model_content_change(change->mode, change->offset, change->body, content)
                    : NULL;
    model_content_unref(content);
    if (!made)
        return;
    if (bases->above)
        bases_apply(bases->above, (struct version){bases->counter, 0}, made);
    else
        search_take(bases->search, made);
}

/* A change whose answer was lost is asked for again: it may come twice, with another in between. */
static bool is_used_up(const struct bases *bases, const struct cluster_change *change)
{
    unsigned uses = 0;
    for (; bases; bases = bases->above)
        uses += bases->change == change;
    return uses >= 2;
}

static void bases_walk(struct bases *bases)
{
    struct search *search = bases->search;
    if (bases->counter < 2 || ++search->steps > 5000)
        return;
    LIST_EACH (node, &search->file->versions) {
        const struct cluster_version *it = CONTAINER_OF(node, struct cluster_version, link);
        if (it->version.counter == bases->counter - 1)
            bases_apply(bases, it->version, model_content_ref(it->content));
    }
    LIST_EACH (node, &search->file->changes) {
        const struct cluster_change *change = CONTAINER_OF(node, struct cluster_change, link);
        if (change->type != MSG_MODIFY || !may_still_be_made(change) || is_used_up(bases, change))
            continue;
        struct bases below = {
            .search = search, .change = change, .counter = bases->counter - 1, .above = bases};
        if (change->mode == MODIFY_REPLACE)
            bases_apply(bases, (struct version){bases->counter - 1, 0},
                model_content_change(MODIFY_REPLACE, 0, change->body, change->body));
        else
            bases_walk(&below);
    }
}

/* What `change` can have made with this counter. */
static void search_change(
    struct search *search, const struct cluster_change *change, uint64_t counter)
{
    if (change->mode == MODIFY_REPLACE) {
        bool is_possible =
            version_is_none(change->if_version) || change->if_version.counter + 1 == counter;
        if (is_possible)
            search_take(search, model_content_ref(change->body));
        return;
    }
    bases_walk(&(struct bases){.search = search, .change = change, .counter = counter});
}

static bool fits_view(const void *context, const struct model_content *content)
{
    return view_matches(context, content);
}

/* The content of a version that nobody told us of. */
static bool explain(
    struct cluster_model *model, struct cluster_file *file, const struct cluster_view *view)
{
    struct search search = {.file = file, .fits = fits_view, .context = view};
    LIST_EACH (node, &file->changes) {
        const struct cluster_change *change = CONTAINER_OF(node, struct cluster_change, link);
        if (change->type == MSG_MODIFY && may_still_be_made(change))
            search_change(&search, change, view->version.counter);
    }
    if (search.distinct == 1 && view->data)
        (void)version_note(file, view->version, search.found);
    else if (search.found)
        model_content_unref(search.found);
    return search.distinct > 0
           || broken(model, file, "version %llu.%u with %llu bytes was made by nobody",
               counter_of(view->version), view->version.machine, (unsigned long long)view->total);
}

/* ---- marks ---- */

static void raise_floor(struct cluster_mark *mark, struct version version, bool is_volatile)
{
    if (mark->is_gone || version_compare(version, mark->floor) < 0)
        return;
    bool is_same = version_equals(version, mark->floor);
    mark->is_volatile = is_volatile && (!is_same || mark->is_volatile);
    mark->floor = version;
}

void cluster_answer_begin(
    const struct cluster_model *model, const struct cluster_file *file, struct cluster_answer *ret)
{
    *ret = (struct cluster_answer){.storage = -1};
    for (unsigned i = 0; i < model->storages; i++) {
        ret->crashes[i] = model->crashes[i];
        ret->losses[i] = model->losses[i];
        if (file)
            ret->marks[i] = file->marks[i];
    }
}

/* What was known when the operation began still binds: nothing was lost meanwhile. */
static const struct cluster_mark *mark_before(
    const struct cluster_model *model, const struct cluster_answer *answer)
{
    int storage = answer->storage;
    if (storage < 0 || model->is_distrusted[storage]
        || model->losses[storage] != answer->losses[storage])
        return NULL;
    const struct cluster_mark *mark = &answer->marks[storage];
    bool is_lost = mark->is_volatile && model->crashes[storage] != answer->crashes[storage];
    return is_lost ? NULL : mark;
}

static void note_holders(struct cluster_model *model, struct cluster_file *file,
    const struct cluster_answer *answer, bool is_told, struct span holders, struct version version,
    bool is_delete)
{
    uint32_t machine = 0;
    for (unsigned i = 0; i < model->storages; i++) {
        bool holds = is_told && (int)i == answer->storage;
        if (model->is_distrusted[i] || model->losses[i] != answer->losses[i])
            continue;
        for (size_t at = 0; at < holders.size; at++) {
            uint8_t c = holders.data[at];
            machine = c >= '0' && c <= '9' ? machine * 10 + (uint32_t)(c - '0') : 0;
            bool is_last = at + 1 == holders.size || holders.data[at + 1] == ',';
            holds = holds || (is_last && machine == i + 1);
        }
        if (holds && is_delete)
            file->marks[i].is_gone = true;
        else if (holds)
            raise_floor(&file->marks[i], version, false);
    }
}

/* ---- changes ---- */

void cluster_file_begin(struct cluster_file *file, struct cluster_change *change)
{
    list_push_back(&file->changes, &change->link);
    file->open_changes++;
    if (change->type == MSG_DELETE)
        file->may_be_gone = true;
}

struct cluster_file *cluster_model_uploaded(struct cluster_model *model,
    const struct cluster_answer *answer, struct cluster_change *change,
    const struct msg_uploaded *reply, bool is_mutable)
{
    struct cluster_file *file = SIM_NEW(struct cluster_file);
    bool is_memory = reply->ack == ACK_MEMORY;
    list_init(&file->changes);
    list_init(&file->versions);
    list_push_back(&model->files, &file->link);
    list_push_back(&file->changes, &change->link);
    file->is_mutable = is_mutable;
    bool is_id = span_to_text(reply->id, file->id, sizeof file->id)
                 && !err_is(fid_parse(reply->id, &file->fid));
    if (!is_id || reply->size != change->body->size) {
        (void)broken(model, file, "a strange answer to an upload");
        return NULL;
    }
    LIST_EACH (node, &model->files) {
        const struct cluster_file *other = CONTAINER_OF(node, struct cluster_file, link);
        if (other != file && identity_equals(&other->fid.identity, &file->fid.identity)) {
            (void)broken(model, file, "the id was given out twice");
            return NULL;
        }
    }
    change->outcome = CHANGE_DONE;
    change->version = reply->version;
    version_note(file, reply->version, model_content_ref(change->body))->is_memory = is_memory;
    note_holders(model, file, answer, !is_memory, reply->holders, reply->version, false);
    int storage = answer->storage;
    if (is_memory && !model->is_distrusted[storage]
        && model->losses[storage] == answer->losses[storage]
        && model->crashes[storage] == answer->crashes[storage])
        raise_floor(&file->marks[storage], reply->version, true);
    return file;
}

static void close_change(
    struct cluster_file *file, enum cluster_outcome outcome, struct cluster_change *change)
{
    change->outcome = outcome;
    if (outcome != CHANGE_UNKNOWN)
        file->open_changes--;
}

struct told {
    uint64_t size;
    uint32_t crc;
};

static bool fits_told(const void *context, const struct model_content *content)
{
    const struct told *told = context;
    return content->size == told->size && model_content_crc(content) == told->crc;
}

static bool check_made(struct cluster_model *model, struct cluster_file *file,
    const struct cluster_change *change, const struct msg_modified *reply)
{
    struct told told = {reply->size, reply->crc};
    struct search search = {.file = file, .fits = fits_told, .context = &told};
    search_change(&search, change, reply->version.counter);
    if (!search.found)
        return broken(model, file, "a modify made version %llu.%u of %llu bytes: from what?",
            counter_of(reply->version), reply->version.machine, (unsigned long long)reply->size);
    struct cluster_version *known = version_find(file, reply->version);
    bool is_liar = model->is_distrusted[reply->version.machine - 1];
    bool is_other =
        known && !known->is_ghost && !is_liar && !contents_equal(known->content, search.found);
    if (is_other) {
        model_content_unref(search.found);
        return broken(model, file, "version %llu.%u was made twice, with two contents",
            counter_of(reply->version), reply->version.machine);
    }
    version_note(file, reply->version, search.found)->is_ghost = is_liar;
    return true;
}

bool cluster_model_modified(struct cluster_model *model, struct cluster_file *file,
    struct cluster_change *change, const struct cluster_answer *answer,
    const struct msg_modified *reply)
{
    const struct cluster_mark *before = mark_before(model, answer);
    if (!check_made(model, file, change, reply))
        return false;
    if (before && before->is_gone)
        return broken(
            model, file, "modified at m%03d after it was deleted there", answer->storage + 1);
    if (before && !change->may_repeat && version_compare(reply->version, before->floor) <= 0)
        return broken(model, file, "a modify at m%03d made version %llu.%u; it held %llu.%u",
            answer->storage + 1, counter_of(reply->version), reply->version.machine,
            counter_of(before->floor), before->floor.machine);
    close_change(file, CHANGE_DONE, change);
    change->version = reply->version;
    note_holders(
        model, file, answer, reply->ack != ACK_MEMORY, reply->holders, reply->version, false);
    return true;
}

bool cluster_model_deleted(struct cluster_model *model, struct cluster_file *file,
    struct cluster_change *change, const struct cluster_answer *answer,
    const struct msg_deleted *reply)
{
    const struct cluster_mark *before = mark_before(model, answer);
    if (before && before->is_gone && reply->existed)
        return broken(model, file, "deleted twice at m%03d", answer->storage + 1);
    close_change(file, CHANGE_DONE, change);
    /* "It is not there" says nothing where it was not known to be: it may come from another yet. */
    bool was_known = before && !version_is_none(before->floor) && !before->is_volatile;
    if (reply->ack != ACK_MEMORY && (reply->existed || was_known))
        note_holders(model, file, answer, true, reply->holders, (struct version){0}, true);
    return true;
}

void cluster_model_failed(
    struct cluster_file *file, struct cluster_change *change, bool is_unknown, bool may_repeat)
{
    change->may_repeat = may_repeat;
    close_change(file, is_unknown ? CHANGE_UNKNOWN : CHANGE_REFUSED, change);
    if (change->type != MSG_DELETE || is_unknown)
        return;
    file->may_be_gone = false;
    LIST_EACH (node, &file->changes) {
        const struct cluster_change *other = CONTAINER_OF(node, struct cluster_change, link);
        file->may_be_gone |= other->type == MSG_DELETE && other->outcome != CHANGE_REFUSED;
    }
}

/* ---- reads ---- */

bool cluster_model_seen(struct cluster_model *model, struct cluster_file *file,
    const struct cluster_answer *answer, const struct cluster_view *view)
{
    const struct cluster_mark *before = mark_before(model, answer);
    struct cluster_version *known = version_find(file, view->version);
    bool is_known = known && view_matches(view, known->content);
    if (known && !is_known && !known->is_ghost)
        return broken(model, file, "bytes %llu..%llu of %llu are not those of version %llu.%u",
            (unsigned long long)view->offset, (unsigned long long)(view->offset + view->size),
            (unsigned long long)view->total, counter_of(view->version), view->version.machine);
    if (!is_known && !explain(model, file, view))
        return false;
    if (is_known)
        known->is_ghost = false;
    if (before && before->is_gone)
        return broken(model, file, "seen at m%03d after it was deleted there", answer->storage + 1);
    if (before && version_compare(view->version, before->floor) < 0)
        return broken(model, file, "m%03d shows version %llu.%u; it held %llu.%u",
            answer->storage + 1, counter_of(view->version), view->version.machine,
            counter_of(before->floor), before->floor.machine);
    if (before)
        raise_floor(&file->marks[answer->storage], view->version, known && known->is_memory);
    return true;
}

bool cluster_model_not_found(
    struct cluster_model *model, struct cluster_file *file, const struct cluster_answer *answer)
{
    const struct cluster_mark *before = mark_before(model, answer);
    if (!before || version_is_none(before->floor))
        return true;
    if (!file->may_be_gone)
        return broken(model, file, "not found at m%03d, which held version %llu.%u",
            answer->storage + 1, counter_of(before->floor), before->floor.machine);
    if (!before->is_volatile)
        file->marks[answer->storage].is_gone = true;
    return true;
}

bool cluster_model_may_conflict(const struct cluster_file *file, const struct cluster_change *asked)
{
    LIST_EACH (node, &file->changes) {
        const struct cluster_change *change = CONTAINER_OF(node, struct cluster_change, link);
        if (change != asked && change->type == MSG_MODIFY && may_still_be_made(change))
            return true;
    }
    LIST_EACH (node, &file->versions) {
        const struct cluster_version *it = CONTAINER_OF(node, struct cluster_version, link);
        if (!version_equals(it->version, asked->if_version))
            return true;
    }
    return list_is_empty(&file->versions);
}

/* ---- losses ---- */

static bool is_held(const struct cluster_model *model, const struct cluster_file *file,
    const struct cluster_version *version)
{
    for (unsigned i = 0; i < model->storages; i++)
        if (version_compare(file->marks[i].floor, version->version) >= 0)
            return true;
    return false;
}

static void drop_mark(struct cluster_model *model, struct cluster_file *file, unsigned storage)
{
    file->marks[storage] = (struct cluster_mark){0};
    LIST_EACH (node, &file->versions) {
        struct cluster_version *it = CONTAINER_OF(node, struct cluster_version, link);
        if (it->version.machine == storage + 1 && !is_held(model, file, it))
            it->is_ghost = true;
    }
}

void cluster_model_crashed(struct cluster_model *model, unsigned storage)
{
    model->crashes[storage]++;
    LIST_EACH (node, &model->files) {
        struct cluster_file *file = CONTAINER_OF(node, struct cluster_file, link);
        if (file->marks[storage].is_volatile)
            drop_mark(model, file, storage);
    }
}

void cluster_model_lost(struct cluster_model *model, unsigned storage, int mount)
{
    model->losses[storage]++;
    LIST_EACH (node, &model->files) {
        struct cluster_file *file = CONTAINER_OF(node, struct cluster_file, link);
        bool is_at_home = file->fid.identity.origin == storage + 1;
        if (mount < 0 || !is_at_home || file->fid.mount == mount)
            drop_mark(model, file, storage);
    }
}

/* ---- when all is healed ---- */

static bool check_promises(
    struct cluster_model *model, struct cluster_file *file, const struct cluster_view *view)
{
    for (unsigned i = 0; i < model->storages; i++) {
        const struct cluster_mark *mark = &file->marks[i];
        if (mark->is_gone && view)
            return broken(model, file, "it came back: m%03u had deleted it", i + 1);
        if (version_is_none(mark->floor) || mark->is_gone)
            continue;
        if (!view && !file->may_be_gone)
            return broken(model, file, "lost: m%03u held version %llu.%u", i + 1,
                counter_of(mark->floor), mark->floor.machine);
        if (view && version_compare(view->version, mark->floor) < 0)
            return broken(model, file, "version %llu.%u is the newest; m%03u held %llu.%u",
                counter_of(view->version), view->version.machine, i + 1, counter_of(mark->floor),
                mark->floor.machine);
    }
    return true;
}

static void decide(struct cluster_file *file, const struct cluster_version *kept)
{
    LIST_EACH_SAFE (node, &file->changes)
        cluster_change_free(CONTAINER_OF(node, struct cluster_change, link));
    LIST_EACH_SAFE (node, &file->versions) {
        struct cluster_version *it = CONTAINER_OF(node, struct cluster_version, link);
        if (it != kept)
            version_free(it);
    }
    file->open_changes = 0;
    file->may_be_gone = kept == NULL;
}

bool cluster_model_settle(
    struct cluster_model *model, struct cluster_file *file, const struct cluster_view *view)
{
    if (!check_promises(model, file, view))
        return false;
    struct cluster_answer nobody = {.storage = -1};
    if (view && !cluster_model_seen(model, file, &nobody, view))
        return false;
    struct cluster_version *kept = view ? version_find(file, view->version) : NULL;
    if (kept)
        kept->is_memory = kept->is_ghost = false;
    decide(file, kept);
    for (unsigned i = 0; i < model->storages; i++)
        file->marks[i] = (struct cluster_mark){
            .floor = kept ? kept->version : (struct version){0}, .is_gone = !kept};
    return true;
}
