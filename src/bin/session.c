#include "bin/session.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/units.h"
#include "io/process.h"
#include "io/uring.h"

#define TRACKER_DEFAULT "127.0.0.1:7700"

static bool add_tracker(const char *verb, const char *text, struct client_config *config)
{
    if (config->tracker_count == CLIENT_TRACKERS_MAX) {
        (void)fprintf(stderr, "cairn %s: at most %d trackers\n", verb, CLIENT_TRACKERS_MAX);
        return false;
    }
    if (err_is(io_address_parse(text, &config->trackers[config->tracker_count]))) {
        (void)fprintf(stderr, "cairn %s: a tracker is HOST:PORT like 127.0.0.1:7700, not \"%s\"\n",
            verb, text);
        return false;
    }
    config->tracker_count++;
    return true;
}

static bool add_trackers_of_text(const char *verb, const char *text, struct client_config *config)
{
    char item[IO_ADDRESS_TEXT_MAX];
    for (const char *at = text; *at != '\0';) {
        size_t length = strcspn(at, ", ");
        if (length > 0
            && (!span_to_text(span_of(at, length), item, sizeof item)
                || !add_tracker(verb, item, config))) {
            if (length >= sizeof item)
                (void)fprintf(stderr, "cairn %s: CAIRN_TRACKER holds an overlong address\n", verb);
            return false;
        }
        at += length + (at[length] != '\0');
    }
    return true;
}

bool common_trackers(const char *verb, const struct common *common, struct client_config *ret)
{
    const char *environment = getenv("CAIRN_TRACKER");
    ret->tracker_count = 0;
    for (size_t i = 0; i < common->trackers.count; i++)
        if (!add_tracker(verb, common->trackers.items[i], ret))
            return false;
    if (ret->tracker_count == 0 && environment
        && !add_trackers_of_text(verb, environment, ret))
        return false;
    return ret->tracker_count > 0 || add_tracker(verb, TRACKER_DEFAULT, ret);
}
