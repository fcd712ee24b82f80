/* What is held, counted by place, owner, direction and age. */
#include "sight/census.h"
#include "tests/lib/test.h"

struct fixture {
    struct ledger ledger;
    struct owner owner;
    struct held held[64];
    struct census census;
};

static struct fixture *fixture_new(void)
{
    static struct fixture fixture;
    memset(&fixture, 0, sizeof fixture);
    ledger_init(&fixture.ledger);
    fixture.ledger.now_ns = NS_PER_S;
    owner_open(&fixture.owner, "sync", DIRECTION_SYNC_RECV, NS_PER_S);
    fixture.owner.peer_machine = 2;
    fixture.owner.object_origin = 1;
    return &fixture;
}

static void take(struct fixture *f, size_t index, enum held_kind kind, enum life life)
{
    ledger_enter(&f->ledger, &f->held[index], .kind = kind, .life = life, .size = 10,
        .handle = (int64_t)index, .owner = &f->owner);
}

static void add(void *context, const struct held *held)
{
    census_add(context, held, false);
}

static void count(struct fixture *f, uint64_t now_ns)
{
    struct ledger_walk walk;
    f->ledger.now_ns = now_ns;
    census_begin(&f->census, now_ns, NS_PER_S);
    ledger_walk_begin(&f->ledger, &walk);
    while (!ledger_walk_step(&f->ledger, &walk, 3, add, &f->census))
        EXPECT(held_is_held(&walk.mark));
    EXPECT(!held_is_held(&walk.mark));
}

TEST(entries_of_one_place_and_owner_are_one_row)
{
    struct fixture *f = fixture_new();
    for (size_t i = 0; i < 10; i++)
        take(f, i, HELD_FD, LIFE_REQUEST);
    take(f, 10, HELD_FD, LIFE_CONNECTION);
    count(f, 2 * NS_PER_S);
    EXPECT_EQ(f->census.count, 2);
    EXPECT_EQ(f->census.held[HELD_FD], 11);
    const struct census_row *row = &f->census.rows[0];
    EXPECT_EQ(row->count, 10);
    EXPECT_EQ(row->bytes, 100);
    EXPECT_EQ(row->key.direction, DIRECTION_SYNC_RECV);
    EXPECT_EQ(row->key.origin, 1);
    EXPECT_EQ(row->key.peer, 2);
    EXPECT_TEXT(row->key.site->function, "take");
    EXPECT_EQ(row->oldest_ns, NS_PER_S);
    EXPECT_EQ(row->late, 0);
}

TEST(what_was_to_be_held_for_a_request_is_late_after_a_while_and_overdue_later)
{
    struct fixture *f = fixture_new();
    take(f, 0, HELD_FD, LIFE_REQUEST);
    take(f, 1, HELD_FD, LIFE_PROCESS);
    take(f, 2, HELD_OP, LIFE_REQUEST);
    take(f, 3, HELD_TIMER, LIFE_REQUEST);
    count(f, 20 * NS_PER_S);
    EXPECT_EQ(f->census.rows[0].late, 1);
    EXPECT_EQ(f->census.rows[1].late, 0);
    EXPECT_EQ(f->census.rows[2].late, 0);
    EXPECT_EQ(f->census.rows[3].late, 1);
    EXPECT_EQ(f->census.rows[0].overdue, 0);
    count(f, 600 * NS_PER_S);
    EXPECT_EQ(f->census.rows[0].overdue, 1);
    EXPECT_EQ(f->census.rows[3].overdue, 0);
}

TEST(memory_is_late_only_if_it_was_taken_while_running)
{
    struct fixture *f = fixture_new();
    take(f, 0, HELD_MEM, LIFE_PROCESS);
    f->ledger.now_ns = 3 * NS_PER_S;
    take(f, 1, HELD_MEM, LIFE_PROCESS);
    count(f, 20 * NS_PER_S);
    EXPECT_EQ(f->census.count, 1);
    EXPECT_EQ(f->census.rows[0].count, 2);
    EXPECT_EQ(f->census.rows[0].late, 1);
}

TEST(a_walk_sees_what_stays_once_while_others_come_and_go)
{
    struct fixture *f = fixture_new();
    struct ledger_walk walk, other;
    for (size_t i = 0; i < 20; i++)
        take(f, i, i < 10 ? HELD_FD : HELD_SLOT, LIFE_REQUEST);
    census_begin(&f->census, NS_PER_S, NS_PER_S);
    ledger_walk_begin(&f->ledger, &walk);
    ledger_walk_begin(&f->ledger, &other);
    EXPECT(!ledger_walk_step(&f->ledger, &walk, 4, add, &f->census));
    EXPECT(!ledger_walk_step(&f->ledger, &other, 2, add, &f->census));
    f->ledger.now_ns = 2 * NS_PER_S;
    ledger_release(&f->ledger, &f->held[1], HELD_FD);
    ledger_release(&f->ledger, &f->held[9], HELD_FD);
    take(f, 30, HELD_FD, LIFE_REQUEST);
    ledger_walk_end(&other);
    while (!ledger_walk_step(&f->ledger, &walk, 1, add, &f->census))
        EXPECT(held_is_held(&walk.mark));
    EXPECT_EQ(
        f->census.held[HELD_FD], 4 + 2 + 5); /* the others saw two; one left unseen, one is new */
    EXPECT_EQ(f->census.held[HELD_SLOT], 10);
}

TEST(a_full_table_counts_what_finds_no_row)
{
    struct fixture *f = fixture_new();
    static struct owner owners[CENSUS_ROWS + 5];
    static struct held held[CENSUS_ROWS + 5];
    for (size_t i = 0; i < ARRAY_LEN(owners); i++) {
        owner_open(&owners[i], "many", DIRECTION_CLIENT, 0);
        owners[i].peer_machine = (uint32_t)i;
        memset(&held[i], 0, sizeof held[i]);
        ledger_enter(&f->ledger, &held[i], .kind = HELD_SLOT, .owner = &owners[i]);
    }
    count(f, 2 * NS_PER_S);
    EXPECT_EQ(f->census.count, CENSUS_ROWS);
    EXPECT_EQ(f->census.unlisted, 5);
    EXPECT_EQ(f->census.held[HELD_SLOT], CENSUS_ROWS + 5);
}
