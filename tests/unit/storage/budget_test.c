#include "storage/budget.h"
#include "storage/follow.h"

#include "base/units.h"
#include "tests/lib/test.h"

static struct storage_config config;
static struct storage_budget budget;

static void set_up(uint32_t mounts)
{
    config = (struct storage_config){.mount_count = mounts,
        .tracker_count = 1,
        .connection_max = 256,
        .request_max = 128,
        .chunk_files = 512,
        .chunk_size = 64 * MIB,
        .log_buffer_size = 1 * MIB,
        .single_min = 256 * KIB,
        .piece_size = 256 * KIB,
        .free_slots = 16384,
        .small_buffers = 64,
        .work_buffers = 16,
        .modify_buffers = 8,
        .receive_buffers = 64,
        .receive_large_buffers = 16};
}

static err_t make(uint32_t loops, uint32_t streams, uint64_t limit)
{
    struct storage_budget_request request = {.config = &config,
        .loops = loops,
        .stream_count = streams,
        .reserved = 4,
        .descriptor_limit = limit};
    return storage_budget(&request, &budget);
}

static uint64_t sum(void)
{
    uint64_t total = 0;
    for (size_t i = 0; i < STORAGE_DESCRIPTORS_COUNT; i++)
        total += budget.descriptors[i];
    return total;
}

TEST(with_a_high_limit_everything_is_as_configured)
{
    set_up(1);
    EXPECT_OK(make(2, 0, 20000));
    EXPECT_EQ(budget.loops, 2);
    EXPECT_EQ(budget.streams_at_format, 2);
    EXPECT_EQ(budget.connection_max, 256);
    EXPECT_EQ(budget.request_max, 128);
    EXPECT_EQ(budget.chunk_files, 512);
    EXPECT(!budget.is_shrunk);
    EXPECT_EQ(budget.descriptor_sum, sum());
}

TEST(with_a_thousand_descriptors_counts_shrink_and_the_rest_goes_to_connections)
{
    set_up(1);
    EXPECT_OK(make(2, 0, 1024));
    EXPECT_EQ(budget.loops, 2);
    EXPECT(budget.is_shrunk);
    EXPECT(budget.descriptor_sum <= 1024);
    EXPECT(budget.descriptor_sum >= 1022 || budget.connection_max == 256);
    EXPECT(budget.request_max < 128);
    EXPECT(budget.chunk_files >= 4 + 3 * budget.request_max);
    EXPECT_EQ(budget.descriptor_sum, sum());
}

TEST(sixty_four_descriptors_are_enough_for_one_loop)
{
    set_up(1);
    EXPECT_OK(make(2, 0, 64));
    EXPECT_EQ(budget.loops, 1);
    EXPECT_EQ(budget.streams_at_format, 1);
    EXPECT(budget.connection_max >= STORAGE_CONNECTIONS_MIN);
    EXPECT(budget.descriptor_sum <= 64);
    EXPECT_OK(make(1, 2, 64)); /* formatted with two streams, on a day with more */
    EXPECT(budget.descriptor_sum <= 64);
}

TEST(mirrors_are_counted_and_where_there_is_no_room_for_them_it_is_said)
{
    char data[1024];
    struct text text;
    set_up(1);
    config.peers_max = 4;
    config.push_buffers = 16;
    EXPECT_OK(make(2, 0, 20000));
    EXPECT_EQ(budget.peers_max, 4);
    EXPECT_EQ(budget.descriptors[STORAGE_DESCRIPTORS_MIRRORS],
        2 * 2 * 4 + budget.loops * STORAGE_INTAKE_DESCRIPTORS * (FOLLOW_INTAKES + STORE_EVICTIONS));
    EXPECT(budget.memory[STORAGE_MEMORIES_MIRRORS] > 2 * 16 * 256 * KIB);
    EXPECT_EQ(budget.descriptor_sum, sum());
    EXPECT_OK(make(1, 2, 64));
    EXPECT_EQ(budget.peers_max, 0);
    EXPECT(budget.memory[STORAGE_MEMORIES_MIRRORS] < 2 * 16 * 256 * KIB); /* what is received */
    text_init(&text, data, sizeof data);
    storage_budget_print_descriptors(&budget, &text);
    EXPECT(strstr(data, "room for 0 mirrors") != NULL);
}

TEST(too_few_descriptors_are_refused_with_the_number_that_is_needed)
{
    char data[1024];
    struct text text;
    set_up(1);
    text_init(&text, data, sizeof data);
    EXPECT_ERR(make(2, 0, 40), NO_RESOURCE);
    EXPECT(budget.descriptor_sum > 40 && budget.descriptor_sum <= 64);
    storage_budget_print_descriptors(&budget, &text);
    char wanted[64];
    (void)snprintf(
        wanted, sizeof wanted, "at least %llu", (unsigned long long)budget.descriptor_sum);
    EXPECT(strstr(data, wanted) != NULL);
    EXPECT_OK(make(2, 0, budget.descriptor_sum));
}

TEST(every_limit_between_is_kept)
{
    set_up(3);
    for (uint64_t limit = 100; limit < 6000; limit += 37) {
        EXPECT_OK(make(2, 0, limit));
        EXPECT(budget.descriptor_sum <= limit);
        EXPECT_EQ(budget.descriptor_sum, sum());
        EXPECT(budget.connection_max >= STORAGE_CONNECTIONS_MIN && budget.connection_max <= 256);
        EXPECT(budget.request_max >= STORAGE_REQUESTS_MIN && budget.request_max <= 128);
    }
}

TEST(the_sums_name_every_holder)
{
    char data[1024];
    struct text text;
    set_up(1);
    EXPECT_OK(make(1, 0, 20000));
    text_init(&text, data, sizeof data);
    storage_budget_print_descriptors(&budget, &text);
    EXPECT(strstr(data, "descriptors: 4 base + 2 rings + 4 listeners + 256 connections") == data);
    EXPECT(strstr(data, "of 20000") != NULL);
    text_init(&text, data, sizeof data);
    storage_budget_print_memory(&budget, &text);
    EXPECT(strstr(data, "work buffers") != NULL);
    uint64_t total = 0;
    for (size_t i = 0; i < STORAGE_MEMORIES_COUNT; i++)
        total += budget.memory[i];
    EXPECT_EQ(total, budget.memory_sum);
    EXPECT(total > 10 * MIB && total < 100 * MIB);
}
