/* Answers of trackers: taken, remembered for a moment, forgotten. */
#include "client/route.h"
#include "tests/lib/test.h"

static struct route question(uint8_t purpose, const char *name, uint32_t origin)
{
    struct route route = {.purpose = purpose, .origin = origin};
    (void)snprintf(route.name, sizeof route.name, "%s", name);
    return route;
}

static size_t entries(uint8_t *bytes, size_t size, uint32_t count, const char *address)
{
    struct writer w = {.data = bytes, .capacity = size};
    for (uint32_t i = 1; i <= count; i++) {
        write_u32(&w, i);
        write_text(&w, span_of_text(address));
    }
    EXPECT(!w.failed);
    return w.size;
}

TEST(entries_are_taken_in_their_order_up_to_the_limit)
{
    uint8_t bytes[1024];
    struct route route;
    size_t size = entries(bytes, sizeof bytes, 20, "10.0.0.1:7710");
    EXPECT_OK(route_decode(span_of(bytes, size), 20, &route));
    EXPECT_EQ(route.count, ROUTE_CANDIDATES_MAX);
    EXPECT(route.candidates[0].machine == 1 && route.candidates[0].address.port == 7710);
}

TEST(what_is_no_address_is_left_out)
{
    uint8_t bytes[64];
    struct route route;
    size_t size = entries(bytes, sizeof bytes, 1, "nowhere");
    EXPECT_OK(route_decode(span_of(bytes, size), 1, &route));
    EXPECT_EQ(route.count, 0);
}

TEST(an_answer_that_is_cut_short_is_a_broken_protocol)
{
    uint8_t bytes[64];
    struct route route;
    size_t size = entries(bytes, sizeof bytes, 1, "10.0.0.1:1");
    EXPECT_ERR(route_decode(span_of(bytes, size - 1), 1, &route), PROTOCOL);
    EXPECT_ERR(route_decode(span_of(bytes, size), 2, &route), PROTOCOL);
}

TEST(an_answer_serves_the_same_question_while_it_is_fresh)
{
    static struct route_cache cache;
    cache = (struct route_cache){0};
    struct route answer = question(QUERY_FIND, "g1", 1), got;
    answer.count = 1;
    route_remember(&cache, &answer, 1000);
    struct route same = question(QUERY_FIND, "g1", 1), other = question(QUERY_FIND, "g1", 2);
    EXPECT(route_recall(&cache, &same, 1000 + ROUTE_LIFE_NS - 1, &got) && got.count == 1);
    EXPECT(!route_recall(&cache, &same, 1000 + ROUTE_LIFE_NS, &got));
    EXPECT(!route_recall(&cache, &other, 1000, &got));
    route_forget(&cache, &same);
    EXPECT(!route_recall(&cache, &same, 1000, &got));
}

TEST(uploads_ask_again_sooner)
{
    static struct route_cache cache;
    cache = (struct route_cache){0};
    struct route answer = question(QUERY_UPLOAD, "", 0), got;
    answer.count = 1;
    route_remember(&cache, &answer, 0);
    EXPECT(route_recall(&cache, &answer, ROUTE_LIFE_UPLOAD_NS - 1, &got));
    EXPECT(!route_recall(&cache, &answer, ROUTE_LIFE_UPLOAD_NS, &got));
}

TEST(the_oldest_answer_makes_room)
{
    static struct route_cache cache;
    cache = (struct route_cache){0};
    struct route got;
    for (uint32_t i = 0; i <= ROUTE_CACHE_SIZE; i++) {
        struct route answer = question(QUERY_FIND, "g", i + 1);
        answer.count = 1;
        route_remember(&cache, &answer, i + 1);
    }
    struct route first = question(QUERY_FIND, "g", 1), second = question(QUERY_FIND, "g", 2);
    EXPECT(!route_recall(&cache, &first, 40, &got) && route_recall(&cache, &second, 40, &got));
}
