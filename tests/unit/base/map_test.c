/* The map against a plain array as its model, through many insertions and deletions. */
#include "base/map.h"
#include "base/prng.h"
#include "tests/lib/test.h"

static struct ledger ledger;
static struct owner owner;
static struct mem mem;

static void set_up(void)
{
    ledger_init(&ledger);
    owner_open(&owner, "test", DIRECTION_OWN, 0);
    mem_init(&mem, &ledger);
}

enum { KEYS = 200 };

static void expect_like_model(const struct map *map, const uint64_t model[KEYS], size_t count)
{
    EXPECT_EQ(map->count, count);
    size_t seen = 0;
    for (uint64_t key = 0; key < KEYS; key++) {
        uint64_t value = 0;
        bool found = map_get(map, (struct map_key){key % 3, key}, &value);
        EXPECT_EQ(found, model[key] != 0);
        EXPECT_EQ(value, model[key]);
    }
    size_t at = 0;
    for (const struct map_entry *entry; (entry = map_next(map, &at)) != NULL; seen++)
        EXPECT_EQ(entry->value, model[entry->key.low]);
    EXPECT_EQ(seen, count);
}

TEST(the_map_holds_what_a_plain_table_holds_through_a_long_life)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        set_up();
        struct prng prng;
        prng_init(&prng, seed);
        struct map map;
        EXPECT_OK(map_init(&map, &mem, 96, seed, &owner)); /* 128 places: 3/4 full at the most */
        uint64_t model[KEYS] = {0};
        size_t count = 0;
        for (int i = 0; i < 3000; i++) {
            uint64_t number = prng_below(&prng, KEYS);
            struct map_key key = {number % 3, number};
            if (prng_chance(&prng, 550000)) {
                uint64_t value = prng_next(&prng) | 1;
                bool fits = model[number] != 0 || count < 96;
                EXPECT_EQ(map_put(&map, key, value), fits);
                count += fits && model[number] == 0;
                model[number] = fits ? value : model[number];
            } else {
                EXPECT_EQ(map_remove(&map, key), model[number] != 0);
                count -= model[number] != 0;
                model[number] = 0;
            }
            if (i % 50 == 0)
                expect_like_model(&map, model, count);
        }
        expect_like_model(&map, model, count);
        map_fini(&map);
        ledger_check_empty(&ledger);
    }
}

TEST(both_halves_of_a_key_count)
{
    set_up();
    struct map map;
    EXPECT_OK(map_init(&map, &mem, 4, 7, &owner));
    EXPECT(map_put(&map, (struct map_key){1, 2}, 12));
    EXPECT(map_put(&map, (struct map_key){2, 1}, 21));
    uint64_t value;
    EXPECT(map_get(&map, (struct map_key){2, 1}, &value));
    EXPECT_EQ(value, 21);
    EXPECT(!map_get(&map, (struct map_key){1, 1}, &value));
    EXPECT_EQ(value, 21);
    map_fini(&map);
}

TEST(pointers_come_back_as_they_went_in)
{
    set_up();
    struct map map;
    EXPECT_OK(map_init(&map, &mem, 1, 7, &owner));
    EXPECT(map_put_pointer(&map, map_key(5), &map));
    EXPECT(map_get_pointer(&map, map_key(5)) == &map);
    EXPECT(map_get_pointer(&map, map_key(6)) == NULL);
    EXPECT(!map_put_pointer(&map, map_key(6), &map));
    map_fini(&map);
}

TEST(a_refused_map_holds_nothing)
{
    set_up();
    struct map map;
    ledger.refusal = (struct refusal){.countdown = 1};
    EXPECT_ERR(map_init(&map, &mem, 10, 1, &owner), BUSY);
    ledger_check_empty(&ledger);
}
