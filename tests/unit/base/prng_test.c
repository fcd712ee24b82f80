/* Seeded numbers: repeatable, in range, and roughly even. */
#include "base/prng.h"
#include "tests/lib/test.h"

TEST(the_same_seed_gives_the_same_numbers_and_another_seed_others)
{
    struct prng a, b, c;
    prng_init(&a, 34);
    prng_init(&b, 34);
    prng_init(&c, 35);
    int equal = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t number = prng_next(&a);
        EXPECT(number == prng_next(&b));
        equal += number == prng_next(&c);
    }
    EXPECT_EQ(equal, 0);
}

TEST(seed_zero_is_a_good_seed)
{
    struct prng prng;
    prng_init(&prng, 0);
    EXPECT(prng_next(&prng) != 0);
    EXPECT(prng_next(&prng) != prng_next(&prng));
}

TEST(numbers_below_n_are_below_n_and_evenly_spread)
{
    struct prng prng;
    prng_init(&prng, 2);
    int counts[7] = {0};
    for (int i = 0; i < 70000; i++) {
        uint64_t number = prng_below(&prng, 7);
        EXPECT(number < 7);
        counts[number]++;
    }
    for (int i = 0; i < 7; i++)
        EXPECT(counts[i] > 9500 && counts[i] < 10500);
    EXPECT_EQ(prng_below(&prng, 1), 0);
}

TEST(chance_is_never_at_zero_and_always_at_a_million)
{
    struct prng prng;
    prng_init(&prng, 3);
    int count = 0;
    for (int i = 0; i < 10000; i++) {
        EXPECT(!prng_chance(&prng, 0));
        EXPECT(prng_chance(&prng, 1000000));
        count += prng_chance(&prng, 250000);
    }
    EXPECT(count > 2300 && count < 2700);
}
