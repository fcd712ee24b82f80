/* The ledger compared with the real kernel. */
#include "base/units.h"
#include "sight/reality.h"
#include "tests/lib/test.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

struct fixture {
    struct ledger ledger;
    struct mem mem;
    struct owner owner;
    struct reality reality;
};

static void note(void *context, const struct held *held)
{
    reality_note(context, held);
}

static void compare(struct fixture *f)
{
    struct ledger_walk walk;
    unsigned rounds = 0;
    reality_begin(&f->reality);
    while (!reality_scan(&f->reality))
        EXPECT(rounds++ < 1000);
    ledger_walk_begin(&f->ledger, &walk);
    while (!ledger_walk_step(&f->ledger, &walk, 2, note, &f->reality))
        EXPECT(rounds++ < 1000);
    while (!reality_judge(&f->reality))
        EXPECT(rounds++ < 1000);
}

static struct fixture *fixture_new(void)
{
    static struct fixture fixture;
    memset(&fixture, 0, sizeof fixture);
    ledger_init(&fixture.ledger);
    mem_init(&fixture.mem, &fixture.ledger);
    owner_open(&fixture.owner, "test", DIRECTION_OWN, 0);
    EXPECT_OK(reality_init(&fixture.reality, &fixture.mem, &fixture.owner, 4096));
    compare(&fixture);
    return &fixture;
}

static void fixture_free(struct fixture *f)
{
    reality_fini(&f->reality);
    ledger_check_empty(&f->ledger);
}

TEST(a_process_that_holds_what_it_says_has_nothing_unknown)
{
    struct fixture *f = fixture_new();
    for (int i = 0; i < 5; i++)
        compare(f);
    EXPECT_EQ(f->reality.passes, 6);
    EXPECT_EQ(reality_unknown(&f->reality.fd_suspects), 0);
    EXPECT_EQ(reality_unknown(&f->reality.map_suspects), 0);
    EXPECT_EQ(f->reality.last.fds_missing, 0);
    EXPECT_EQ(f->reality.last.maps_missing, 0);
    EXPECT(f->reality.last.fds >= 3 && f->reality.last.maps > 5);
    fixture_free(f);
}

TEST(a_descriptor_opened_past_the_ledger_is_named_after_three_comparisons)
{
    struct fixture *f = fixture_new();
    int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    compare(f);
    compare(f);
    EXPECT_EQ(reality_unknown(&f->reality.fd_suspects), 0);
    compare(f);
    EXPECT_EQ(reality_unknown(&f->reality.fd_suspects), 1);
    EXPECT_EQ(f->reality.fd_suspects.all[0].number, fd);
    EXPECT_TEXT(f->reality.fd_suspects.all[0].name, "/dev/zero");
    EXPECT(f->reality.last.fd_highest >= fd);
    (void)close(fd);
    compare(f);
    EXPECT_EQ(reality_unknown(&f->reality.fd_suspects), 0);
    fixture_free(f);
}

TEST(a_number_that_is_another_file_each_time_is_none)
{
    struct fixture *f = fixture_new();
    const char *names[] = {"/dev/zero", "/dev/null"};
    for (int i = 0; i < 6; i++) {
        int fd = open(names[i % 2], O_RDONLY | O_CLOEXEC);
        compare(f);
        (void)close(fd);
        EXPECT_EQ(reality_unknown(&f->reality.fd_suspects), 0);
    }
    fixture_free(f);
}

TEST(a_descriptor_closed_past_the_ledger_is_missing)
{
    struct fixture *f = fixture_new();
    struct held held = {.kind = 0};
    int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    ledger_enter(&f->ledger, &held, .kind = HELD_FD, .handle = fd, .owner = &f->owner);
    compare(f);
    EXPECT_EQ(f->reality.last.fds_missing, 0);
    (void)close(fd);
    compare(f);
    EXPECT_EQ(f->reality.last.fds_missing, 1);
    ledger_release(&f->ledger, &held, HELD_FD);
    fixture_free(f);
}

TEST(a_mapped_file_past_the_ledger_and_a_mapping_that_is_gone_are_told)
{
    struct fixture *f = fixture_new();
    struct held held = {.kind = 0};
    FILE *file = tmpfile();
    EXPECT(ftruncate(fileno(file), 65536) == 0);
    void *loose = mmap(NULL, 65536, PROT_READ, MAP_SHARED, fileno(file), 0);
    EXPECT(loose != MAP_FAILED);
    ledger_enter(
        &f->ledger, &held, .kind = HELD_MAP, .handle = 0x1000, .size = 4096, .owner = &f->owner);
    for (int i = 0; i < 3; i++)
        compare(f);
    EXPECT_EQ(reality_unknown(&f->reality.map_suspects), 1);
    EXPECT_EQ(f->reality.last.maps_missing, 1);
    EXPECT(f->reality.last.loose_bytes >= 65536);
    ledger_release(&f->ledger, &held, HELD_MAP);
    (void)munmap(loose, 65536);
    compare(f);
    EXPECT_EQ(reality_unknown(&f->reality.map_suspects), 0);
    EXPECT_EQ(f->reality.last.maps_missing, 0);
    (void)fclose(file);
    fixture_free(f);
}

TEST(anonymous_memory_beyond_the_ledger_is_counted)
{
    struct fixture *f = fixture_new();
    void *loose = mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    compare(f);
    EXPECT(f->reality.last.loose_bytes >= 8 * MIB && f->reality.last.loose_bytes < 9 * MIB);
    (void)munmap(loose, 8 * MIB);
    compare(f);
    EXPECT(f->reality.last.loose_bytes < MIB);
    fixture_free(f);
}

TEST(a_connection_whose_peer_is_gone_is_forsaken_in_the_second_comparison)
{
    struct fixture *f = fixture_new();
    struct held held = {.kind = 0};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 1) == 0);
    EXPECT(getsockname(listener, (struct sockaddr *)&address, &size) == 0);
    EXPECT(connect(client, (struct sockaddr *)&address, size) == 0);
    int server = accept(listener, NULL, NULL);
    ledger_enter(&f->ledger, &held, .kind = HELD_FD, .life = LIFE_CONNECTION, .handle = server,
        .owner = &f->owner);
    compare(f);
    EXPECT_EQ(f->reality.last.forsaken, 0);
    (void)close(client);
    while (!kernel_fd_is_forsaken(server))
        EXPECT(recv(server, &size, 0, MSG_PEEK) >= 0);
    compare(f);
    EXPECT(!reality_is_forsaken(&f->reality, &held));
    compare(f);
    EXPECT(reality_is_forsaken(&f->reality, &held));
    EXPECT_EQ(f->reality.last.forsaken, 1);
    ledger_release(&f->ledger, &held, HELD_FD);
    (void)close(server);
    (void)close(listener);
    fixture_free(f);
}

TEST(a_refused_start_leaves_nothing)
{
    struct fixture f = {.reality = {0}};
    for (uint64_t n = 1; n <= 2; n++) {
        ledger_init(&f.ledger);
        mem_init(&f.mem, &f.ledger);
        owner_open(&f.owner, "test", DIRECTION_OWN, 0);
        f.ledger.refusal = (struct refusal){.countdown = n};
        EXPECT_ERR(reality_init(&f.reality, &f.mem, &f.owner, 1024), BUSY);
        reality_fini(&f.reality);
        ledger_check_empty(&f.ledger);
    }
}
