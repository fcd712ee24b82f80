#include "storage/config.h"

#include "base/units.h"
#include "tests/lib/test.h"

static struct config config;
static struct storage_config storage;

/* The flags beside a machine, a group and a mount point. NULL-terminated. */
static err_t configure(const char *const *flags)
{
    static const char *const own[] = {"--machine=m001", "--group=g1", NULL};
    config_init(&config);
    config_add(&config, &storage_config_table, &storage);
    const char *const *lists[] = {own, flags};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        for (size_t k = 0; lists[i][k]; k++) {
            char text[256];
            char *argv[] = {text};
            int at = 0;
            (void)snprintf(text, sizeof text, "%s", lists[i][k]);
            err_t err = config_flag(&config, 1, argv, &at);
            EXPECT(!err_has(err, ERR_CODE_NOT_FOUND));
        }
    storage_config_check(&storage, &config);
    return config_finish(&config);
}

#define FLAGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void expect_problem(const char *const *flags, const char *part)
{
    EXPECT_ERR(configure(flags), USAGE);
    if (!strstr(config_problems(&config), part))
        (void)fprintf(stderr, "%s", config_problems(&config));
    EXPECT(strstr(config_problems(&config), part) != NULL);
}

TEST(the_defaults_are_good)
{
    err_t err = configure(FLAGS("--mount=/srv/cairn"));
    if (err_is(err))
        (void)fprintf(stderr, "%s", config_problems(&config));
    EXPECT_OK(err);
    EXPECT_EQ(storage.machine_number, 1);
    EXPECT_EQ(storage.mount_count, 1);
    EXPECT_EQ(storage.chunk_size, 64 * MIB);
    EXPECT_EQ(storage.log_segment_size, 32 * MIB);
    EXPECT_EQ(storage.inline_max, 64 * KIB);
    EXPECT_EQ(storage.single_min, 256 * KIB);
    EXPECT(storage.mutable_files);
    EXPECT_EQ(storage.listen_address.port, 7710);
}

TEST(mount_points_have_their_position_or_the_index_that_is_written)
{
    EXPECT_OK(configure(FLAGS("--mount=/a", "--mount=7:/b", "--mount=/c")));
    EXPECT_EQ(storage.mount[0].index, 0);
    EXPECT_EQ(storage.mount[1].index, 7);
    EXPECT_TEXT(storage.mount[1].path, "/b");
    EXPECT_EQ(storage.mount[2].index, 2);
}

TEST(what_cannot_be_names_key_and_remedy)
{
    expect_problem(FLAGS("--mount=relative"), "the path must be absolute");
    expect_problem(FLAGS("--mount=/a", "--mount=/a"), "given twice");
    expect_problem(FLAGS("--mount=/a", "--mount=0:/b"), "index 0 is that of /a");
    expect_problem(FLAGS("--mount=256:/a"), "the index is 0 to 255");
    expect_problem(FLAGS("--mount=/a", "--machine=x9"), "write m001");
    expect_problem(FLAGS("--mount=/a", "--machine=m0"), "write m001");
    expect_problem(FLAGS("--mount=/a", "--machine=m16777216"), "write m001");
    expect_problem(FLAGS("--mount=/a", "--group=no-good"), "letters and digits");
    expect_problem(FLAGS("--mount=/a", "--advertise=nowhere"), "advertise = nowhere");
    expect_problem(
        FLAGS("--mount=/a", "--listen=0.0.0.0:1", "--tracker=127.0.0.1:2"), "give advertise");
    expect_problem(FLAGS("--mount=/a", "--balance=master", "--master-mount=3"), "master_mount = 3");
    expect_problem(FLAGS("--mount=/a", "--log-buffer-size=128KiB"), "give at least 320 KiB");
    expect_problem(FLAGS("--mount=/a", "--log-segment-size=1MiB"), "log_segment_size");
    expect_problem(FLAGS("--mount=/a", "--checkpoint-bytes=1GiB"), "raise log_segments");
    expect_problem(FLAGS("--mount=/a", "--inline-max=512KiB"), "give at most single_min");
    expect_problem(FLAGS("--mount=/a", "--chunk-size=128KiB"), "lower single_min");
    expect_problem(FLAGS("--mount=/a", "--push-window=22:00"), "write 22:00-06:00");
    expect_problem(FLAGS("--mount=/a", "--push-rate=1KiB"), "push_rate: give at least");
    expect_problem(FLAGS("--balance=loop"), "mount is missing");
}

TEST(machine_numbers_are_read_with_and_without_m)
{
    uint32_t number = 0;
    EXPECT(machine_parse("m001", &number) && number == 1);
    EXPECT(machine_parse("M1", &number) && number == 1);
    EXPECT(machine_parse("16777215", &number) && number == MACHINE_MAX);
    EXPECT(!machine_parse("", &number));
    EXPECT(!machine_parse("m", &number));
    EXPECT(!machine_parse("m1x", &number));
    EXPECT(!machine_parse("99999999999999999999", &number));
}

TEST(a_reserve_in_percent_is_capped_and_one_in_bytes_is_not)
{
    EXPECT_OK(configure(FLAGS("--mount=/a")));
    EXPECT_EQ(storage_reserve_bytes(&storage, 10 * GIB), 10 * GIB / 100);
    EXPECT_EQ(storage_reserve_bytes(&storage, 10 * TIB), 1 * GIB);
    EXPECT_OK(configure(FLAGS("--mount=/a", "--reserve=5GiB")));
    EXPECT_EQ(storage_reserve_bytes(&storage, 10 * GIB), 5 * GIB);
}
