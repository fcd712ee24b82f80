/* Log lines: their shape, their limit, and that no byte of a peer can break them. */
#include "base/event.h"
#include "base/units.h"
#include "tests/lib/test.h"

static char last[EVENT_LINE_MAX];
static int lines;

static void keep(void *context, enum event_level level, struct span line)
{
    (void)context, (void)level;
    EXPECT(line.size < sizeof last);
    memcpy(last, line.data, line.size);
    last[line.size] = '\0';
    lines++;
}

static struct event_log log_;
static struct owner owner;

static void set_up(void)
{
    event_log_init(&log_, keep, NULL);
    log_.machine = 1;
    owner_open(&owner, "push", DIRECTION_SYNC_SEND, 0);
    owner.peer_machine = 2;
    owner.object_origin = 34;
    owner.object_clock = 99;
    lines = 0;
}

TEST(own_machine_origin_direction_and_peer_are_separate_fields)
{
    set_up();
    EVENT(&log_, WARN, "mirror_lagging", &owner, EVENT_DURATION("lag", 185 * NS_PER_S),
        EVENT_SIZE("bytes", 4096), EVENT_TEXT("why", "no credit"), EVENT_MACHINE("via", 3));
    EXPECT_TEXT(last, "WARN mirror_lagging machine=m001 op=push direction=sync-send peer=m002 "
                      "origin=m034 object=99 lag=3m05s bytes=4096 why=\"no credit\" via=m003");
}

TEST(an_error_is_logged_with_the_place_of_its_birth)
{
    set_up();
    log_.machine = 0;
    err_t err = ERR(NO_SPACE, 28);
    EVENT(&log_, ERROR, "commit_failed", NULL, EVENT_ERR(err));
    char expected[256];
    (void)snprintf(expected, sizeof expected, "ERROR commit_failed err=NO_SPACE os=28 at=%s:%d",
        err.site->file, err.site->line);
    EXPECT_TEXT(last, expected);
    EVENT(&log_, ERROR, "peer_says", NULL, EVENT_ERR(((err_t){NULL, 3, 0})));
    EXPECT_TEXT(last, "ERROR peer_says err=NOT_FOUND");
}

TEST(a_json_line_is_one_object)
{
    set_up();
    log_.is_json = true;
    EVENT(&log_, INFO, "started", &owner, EVENT_NUMBER("loops", 2), EVENT_TEXT("name", "a\"b\n"),
        EVENT_DURATION("took", 1500));
    EXPECT_TEXT(last,
        "{\"level\":\"INFO\",\"event\":\"started\",\"machine\":\"m001\",\"op\":\"push\","
        "\"direction\":\"sync-send\",\"peer\":\"m002\",\"origin\":\"m034\",\"object\":99,"
        "\"loops\":2,\"name\":\"a\\\"b\\u000a\",\"took\":1500}");
}

TEST(bytes_of_a_peer_cannot_forge_a_line)
{
    set_up();
    EVENT(&log_, INFO, "got", NULL, EVENT_SPAN("path", span_of("x\nERROR fake a=b\xff", 17)));
    EXPECT_TEXT(last, "INFO got machine=m001 path=\"x\\x0aERROR fake a=b\\xff\"");
}

TEST(lines_below_the_level_are_dropped)
{
    set_up();
    EVENT(&log_, DEBUG, "detail", NULL, EVENT_NUMBER("n", 1));
    EXPECT_EQ(lines, 0);
    log_.level = EVENT_DEBUG;
    EVENT(&log_, DEBUG, "detail", NULL, EVENT_NUMBER("n", 1));
    EXPECT_EQ(lines, 1);
}

TEST(a_line_that_is_too_long_loses_whole_fields_and_says_so)
{
    static char word[3000];
    memset(word, 'x', sizeof word - 1);
    for (int is_json = 0; is_json < 2; is_json++) {
        set_up();
        log_.machine = 0;
        log_.is_json = is_json;
        EVENT(&log_, INFO, "big", NULL, EVENT_NUMBER("a", 1), EVENT_TEXT("b", word),
            EVENT_NUMBER("c", 3));
        EXPECT_TEXT(last, is_json ? "{\"level\":\"INFO\",\"event\":\"big\",\"a\":1,\"cut\":1}"
                                  : "INFO big a=1 cut=1");
    }
}

TEST(a_line_of_any_length_is_whole_or_says_that_it_was_cut)
{
    static char word[EVENT_LINE_MAX + 100];
    int cut = 0, whole = 0;
    for (size_t size = EVENT_LINE_MAX - 100; size < EVENT_LINE_MAX; size++) {
        memset(word, 'x', size);
        word[size] = '\0';
        set_up();
        log_.is_json = true;
        EVENT(&log_, INFO, "big", NULL, EVENT_TEXT("b", word), EVENT_NUMBER("c", 3));
        size_t end = strlen(last);
        bool is_whole = strcmp(last + end - 7, ",\"c\":3}") == 0;
        EXPECT(is_whole || strcmp(last + end - 9, ",\"cut\":1}") == 0);
        whole += is_whole;
        cut += !is_whole;
    }
    EXPECT(whole > 0 && cut > 0);
}

static void repeat(int count)
{
    for (int i = 0; i < count; i++)
        EVENT(&log_, WARN, "again", NULL, EVENT_NUMBER("i", i));
}

TEST(a_site_that_repeats_itself_is_limited_and_tells_what_was_lost)
{
    set_up();
    uint64_t now_ns = 0;
    log_.now_ns = &now_ns;
    repeat(25);
    EXPECT_EQ(lines, EVENT_SITE_LINES);
    EXPECT_EQ(log_.suppressed, 15);
    EVENT(&log_, WARN, "other", NULL, EVENT_NUMBER("i", 1));
    EXPECT_EQ(lines, EVENT_SITE_LINES + 1);
    now_ns = EVENT_WINDOW_S * NS_PER_S;
    repeat(1);
    EXPECT_TEXT(last, "WARN again machine=m001 suppressed=15 i=0");
    repeat(1);
    EXPECT_TEXT(last, "WARN again machine=m001 i=0");
}

TEST(more_sites_than_the_limit_watches_lose_no_first_line)
{
    set_up();
    uint64_t now_ns = 0;
    log_.now_ns = &now_ns;
    static struct site sites[EVENT_SITES * 2];
    struct event_field field = EVENT_NUMBER("i", 1);
    for (size_t i = 0; i < ARRAY_LEN(sites); i++, now_ns++)
        event_write(&log_, EVENT_INFO, "one", NULL, &field, 1, &sites[i]);
    EXPECT_EQ(lines, EVENT_SITES * 2);
}
