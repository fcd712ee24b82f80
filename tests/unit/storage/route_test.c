/* Where a storage keeps what other storages of its group have: pure, but for what is held already. */
#include "storage/store.h"
#include "tests/lib/test.h"

enum { SELF = 7, OTHER = 9 };

static struct store store_with(const uint16_t *streams, uint8_t mounts, uint16_t loops)
{
    struct store store = {.config = {.machine = SELF, .loop_count = loops}};
    for (uint8_t i = 0; i < mounts; i++)
        route_add_mount(&store.routes, i, streams[i]);
    return store;
}

static bool is_at(struct stream_place place, uint8_t mount, uint8_t stream)
{
    return place.mount == mount && place.stream == stream;
}

TEST(own_streams_are_where_they_are)
{
    struct store store = store_with((uint16_t[]){4, 4}, 2, 2);
    struct stream_place place = store_route(&store, &(struct source_key){SELF, 1, 3});
    EXPECT(is_at(place, 1, 3));
    EXPECT_EQ(place.loop, 1);
}

TEST(in_a_group_of_like_storages_every_stream_has_its_like)
{
    struct store store = store_with((uint16_t[]){4, 4}, 2, 3);
    for (uint8_t mount = 0; mount < 2; mount++)
        for (uint8_t stream = 0; stream < 4; stream++) {
            struct stream_place place =
                store_route(&store, &(struct source_key){OTHER, mount, stream});
            EXPECT(is_at(place, mount, stream));
            EXPECT_EQ(place.loop, stream % 3);
        }
}

TEST(what_has_no_like_goes_by_hash_to_a_stream_that_there_is_whatever_the_machine)
{
    struct store store = store_with((uint16_t[]){2, 3}, 2, 2);
    unsigned on[2] = {0};
    for (unsigned mount = 2; mount < 100; mount++) {
        struct source_key key = {OTHER, (uint8_t)mount, 5}, third = {OTHER + 1, (uint8_t)mount, 5};
        struct stream_place place = store_route(&store, &key), same = store_route(&store, &third);
        EXPECT(place.mount < 2 && place.stream < (place.mount == 0 ? 2 : 3));
        EXPECT(is_at(same, place.mount, place.stream));
        EXPECT_EQ(place.loop, place.stream % 2);
        on[place.mount]++;
    }
    EXPECT(on[0] > 20 && on[1] > 20);
}

TEST(another_mount_point_moves_only_what_it_gets)
{
    struct store before = store_with((uint16_t[]){2, 3}, 2, 1);
    struct store after = store_with((uint16_t[]){2, 3, 4}, 3, 1);
    unsigned moved = 0;
    for (unsigned mount = 3; mount < 103; mount++) {
        struct source_key key = {OTHER, (uint8_t)mount, 1};
        struct stream_place was = store_route(&before, &key), is = store_route(&after, &key);
        if (is.mount == 2)
            moved++;
        else
            EXPECT(is_at(is, was.mount, was.stream));
    }
    EXPECT(moved > 10 && moved < 60);
}

TEST(a_mount_point_that_is_out_keeps_its_sources)
{
    struct store store = store_with((uint16_t[]){2, 0}, 2, 1);
    EXPECT(is_at(store_route(&store, &(struct source_key){OTHER, 1, 200}), 1, 200));
}

TEST(what_is_held_already_stays_on_every_loop)
{
    struct store first = store_with((uint16_t[]){2, 2}, 2, 2), second = first;
    struct source_key odd = {OTHER, 1, 0}, like = {OTHER, 1, 1};
    second.config.loop_index = 1;
    EXPECT_OK(route_note_held(&second, &odd, 0, 1));
    EXPECT_OK(route_note_held(&second, &like, 1, 1));
    EXPECT_EQ(second.routes.note_count, 1);
    EXPECT_OK(route_merge(&first.routes, &second.routes));
    EXPECT_OK(route_merge(&first.routes, &second.routes));
    EXPECT_EQ(first.routes.note_count, 1);
    struct stream_place place = store_route(&first, &(struct source_key){OTHER + 5, 1, 0});
    EXPECT(is_at(place, 0, 1));
    EXPECT_EQ(place.loop, 1);
    EXPECT(is_at(store_route(&first, &(struct source_key){SELF, 1, 0}), 1, 0));
}

TEST(more_notes_than_there_is_room_for_are_refused)
{
    struct store store = store_with((uint16_t[]){1}, 1, 1);
    store.config.loop_index = 0;
    for (unsigned i = 0; i < ROUTE_NOTES_MAX; i++)
        EXPECT_OK(route_note_held(&store, &(struct source_key){OTHER, 9, (uint8_t)i}, 0, 5));
    EXPECT_ERR(route_note_held(&store, &(struct source_key){OTHER, 9, 200}, 0, 5), BUSY);
    struct store other = store_with((uint16_t[]){1}, 1, 1);
    EXPECT_OK(route_note_held(&other, &(struct source_key){OTHER, 10, 1}, 0, 5));
    EXPECT_ERR(route_merge(&other.routes, &store.routes), BUSY);
}
