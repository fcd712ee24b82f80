#include "core/readiness.h"

#include "base/check.h"

const char *readiness_wait_text(enum readiness_wait wait)
{
    static const char *const texts[READINESS_WAIT_COUNT] = {
        [READINESS_WAITS_NOT] = "",
        [READINESS_WAITS_FOR_TRACKER] =
            ("its disks are new and no tracker has answered: it cannot know whether its group has "
             "other members"),
        [READINESS_WAITS_FOR_MEMBERS] = "it asks the members of its group",
        [READINESS_WAITS_FOR_A_MEMBER] =
            "its disks are new and no member of its group can be reached",
        [READINESS_WAITS_FOR_OPERATOR] =
            "it was removed from its group, or its machine number belongs to another storage",
        [READINESS_WAITS_FOR_FILLING] = "its disks are being filled from the members of its group",
        [READINESS_WAITS_TO_CATCH_UP] = "it catches up with the members of its group",
    };
    CHECK(wait < READINESS_WAIT_COUNT);
    return texts[wait];
}

void readiness_init(struct readiness *readiness)
{
    *readiness = (struct readiness){.state = STATE_INITING};
}

/* New disks: nothing may be written before it is known what was written under this name before. */
static enum readiness_wait wait_to_open(const struct readiness_facts *facts)
{
    if (facts->is_outcast)
        return READINESS_WAITS_FOR_OPERATOR;
    if (!facts->has_unfilled)
        return READINESS_WAITS_NOT;
    if (facts->members == 0) {
        bool is_asking = facts->is_all_new && !facts->is_alone && facts->trackers > 0
                         && facts->trackers_answered == 0;
        return is_asking ? READINESS_WAITS_FOR_TRACKER : READINESS_WAITS_NOT;
    }
    if (facts->pending > 0)
        return READINESS_WAITS_FOR_MEMBERS;
    return facts->recalled > 0 || facts->is_alone ? READINESS_WAITS_NOT
                                                  : READINESS_WAITS_FOR_A_MEMBER;
}

static bool wants_filling(const struct readiness_facts *facts)
{
    return facts->can_fill && facts->members > 0 && (facts->has_unfilled || facts->is_lost);
}

static void enter(struct readiness *readiness, uint8_t state, enum readiness_wait wait)
{
    readiness->state = state;
    readiness->wait = wait;
}

static void begin_filling(struct readiness *readiness, struct readiness_effects *ret)
{
    enter(readiness, STATE_DSYNCING, READINESS_WAITS_FOR_FILLING);
    ret->begin_fill = true;
}

static void leave_initing(
    struct readiness *readiness, const struct readiness_facts *facts, struct readiness_effects *ret)
{
    readiness->wait = wait_to_open(facts);
    if (readiness->wait != READINESS_WAITS_NOT)
        return;
    readiness->state = STATE_ACCEPTING;
    ret->may_open = true;
}

static void leave_accepting(
    struct readiness *readiness, const struct readiness_facts *facts, struct readiness_effects *ret)
{
    if (!facts->is_listening)
        return;
    if (wants_filling(facts)) {
        begin_filling(readiness, ret);
        return;
    }
    ret->is_filled = facts->has_unfilled;
    enter(readiness, STATE_CSYNCING, READINESS_WAITS_TO_CATCH_UP);
}

static void leave_csyncing(
    struct readiness *readiness, const struct readiness_facts *facts, struct readiness_effects *ret)
{
    if (facts->is_outcast)
        readiness->wait = READINESS_WAITS_FOR_OPERATOR;
    else if (wants_filling(facts) && facts->is_lost)
        begin_filling(readiness, ret);
    else if (facts->pending > 0)
        readiness->wait = READINESS_WAITS_FOR_MEMBERS;
    else if (facts->behind > 0)
        readiness->wait = READINESS_WAITS_TO_CATCH_UP;
    else
        enter(readiness, STATE_RUNNING, READINESS_WAITS_NOT);
}

static void leave_running(
    struct readiness *readiness, const struct readiness_facts *facts, struct readiness_effects *ret)
{
    if (facts->is_outcast)
        enter(readiness, STATE_CSYNCING, READINESS_WAITS_FOR_OPERATOR);
    else if (wants_filling(facts) && facts->is_lost)
        begin_filling(readiness, ret);
}

static void step_once(
    struct readiness *readiness, const struct readiness_facts *facts, struct readiness_effects *ret)
{
    switch (readiness->state) {
    case STATE_INITING:
        leave_initing(readiness, facts, ret);
        break;
    case STATE_ACCEPTING:
        leave_accepting(readiness, facts, ret);
        break;
    case STATE_DSYNCING:
        if (facts->is_filling_over && !ret->begin_fill) {
            enter(readiness, STATE_DSYNCED, READINESS_WAITS_NOT);
            ret->is_filled = true;
        }
        break;
    case STATE_DSYNCED:
        enter(readiness, STATE_CSYNCING, READINESS_WAITS_TO_CATCH_UP);
        break;
    case STATE_CSYNCING:
        leave_csyncing(readiness, facts, ret);
        break;
    case STATE_RUNNING:
        leave_running(readiness, facts, ret);
        break;
    default:
        break;
    }
}

/* DSYNCED is seen by trackers before it is left, and filling that was asked for begins before it can
 * be over: a call ends there. */
void readiness_step(
    struct readiness *readiness, const struct readiness_facts *facts, struct readiness_effects *ret)
{
    struct readiness before = *readiness, last;
    *ret = (struct readiness_effects){0};
    if (facts->is_closing)
        enter(readiness, STATE_CLOSING, READINESS_WAITS_NOT);
    do {
        last = *readiness;
        step_once(readiness, facts, ret);
    } while (
        readiness->state != last.state && readiness->state != STATE_DSYNCED && !ret->begin_fill);
    ret->has_changed = readiness->state != before.state || readiness->wait != before.wait;
}
