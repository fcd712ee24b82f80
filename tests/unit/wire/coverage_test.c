#include "wire/coverage.h"

#include "base/prng.h"
#include "tests/lib/test.h"

enum { CLOCKS = 24 };

/* What the struct says, clock by clock. */
static uint32_t set_of(const struct coverage *coverage)
{
    uint32_t set = 0;
    for (uint64_t clock = 1; clock <= CLOCKS; clock++)
        if (coverage_has(coverage, clock))
            set |= UINT32_C(1) << clock;
    return set;
}

static struct coverage draw(struct prng *prng)
{
    struct coverage coverage = {.watermark = prng_below(prng, CLOCKS)};
    uint64_t first = 1 + prng_below(prng, CLOCKS), size = prng_below(prng, CLOCKS);
    if (prng_below(prng, 3) > 0)
        coverage_lose(&coverage, first, first + size);
    return coverage;
}

TEST(what_is_in_the_gap_or_above_the_watermark_is_not_covered)
{
    struct coverage coverage = {.watermark = 10};
    EXPECT(
        coverage_has(&coverage, 1) && coverage_has(&coverage, 10) && !coverage_has(&coverage, 11));
    coverage_lose(&coverage, 4, 6);
    EXPECT(coverage_has(&coverage, 3) && coverage_has(&coverage, 7));
    EXPECT(!coverage_has(&coverage, 4) && !coverage_has(&coverage, 6));
    EXPECT(coverage_has_all(&coverage, 3) && !coverage_has_all(&coverage, 4));
    EXPECT(!coverage_has_all(&coverage, 7) && !coverage_has_all(&coverage, 11));
}

TEST(two_gaps_become_one_that_covers_both)
{
    struct coverage coverage = {.watermark = 10};
    coverage_lose(&coverage, 3, 3);
    coverage_lose(&coverage, 8, 9);
    coverage_lose(&coverage, 7, 6); /* nothing */
    EXPECT(coverage.gap_first == 3 && coverage.gap_last == 9);
}

TEST(what_either_covers_is_covered_by_both_together_and_nothing_else)
{
    struct prng prng;
    unsigned exact = 0;
    prng_init(&prng, 7);
    for (int i = 0; i < 20000; i++) {
        struct coverage a = draw(&prng), b = draw(&prng), both = a;
        coverage_merge(&both, &b);
        uint32_t either = set_of(&a) | set_of(&b);
        EXPECT((set_of(&both) & ~either) == 0); /* never a false proof */
        exact += set_of(&both) == either;
    }
    EXPECT(exact > 12000); /* the rest had two gaps */
}

TEST(a_new_disk_covers_again_what_a_full_mirror_covers)
{
    struct coverage mine = {.watermark = 50}, theirs = {.watermark = 40};
    coverage_lose(&mine, 1, 50);
    coverage_merge(&mine, &theirs);
    EXPECT(coverage_has(&mine, 1) && coverage_has(&mine, 40));
    EXPECT(!coverage_has(&mine, 41) && !coverage_has(&mine, 50));
}

TEST(whether_one_covers_all_that_the_other_does_is_told_exactly)
{
    struct prng prng;
    unsigned within = 0;
    prng_init(&prng, 8);
    for (int i = 0; i < 20000; i++) {
        struct coverage a = draw(&prng), b = draw(&prng);
        bool is_within = coverage_is_within(&a, &b);
        if (is_within)
            EXPECT((set_of(&a) & ~set_of(&b)) == 0);
        within += is_within;
        EXPECT(coverage_is_within(&a, &a));
    }
    EXPECT(within > 1000 && within < 19000);
}
