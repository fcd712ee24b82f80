#include "bin/progress.h"

#include <inttypes.h>

#include "base/units.h"

enum { BAR_CELLS = 20 };

void progress_init(struct progress *progress, FILE *to, bool is_terminal)
{
    *progress = (struct progress){.to = is_terminal ? to : NULL};
}

static void add_bar(struct text *text, uint64_t done, uint64_t total)
{
    unsigned cells = (unsigned)((double)done / (double)total * BAR_CELLS);
    text_add_char(text, '[');
    for (unsigned i = 0; i < BAR_CELLS; i++)
        text_add_char(text, i < cells ? '#' : '-');
    text_add(text, "] %3u %%  ", (unsigned)((double)done / (double)total * 100));
}

void progress_format(const struct progress *progress, struct text *text)
{
    uint64_t total = progress->bytes_total;
    uint64_t done = total > 0 && progress->bytes_done > total ? total : progress->bytes_done;
    if (total > 0)
        add_bar(text, done, total);
    text_add_size(text, done);
    text_add(text, "  ");
    text_add_size(text, (uint64_t)progress->rate);
    text_add(text, "/s");
    if (progress->files_total > 0)
        text_add(
            text, "  %" PRIu64 "/%" PRIu64 " files", progress->files_done, progress->files_total);
    else if (progress->files_done > 0)
        text_add(text, "  %" PRIu64 " files", progress->files_done);
    if (total > done && progress->rate >= 1) {
        text_add(text, "  ETA ");
        text_add_duration(text, (uint64_t)((double)(total - done) / progress->rate) * NS_PER_S);
    }
}

/* Each tenth of a second counts for a twentieth: the rate follows a change within some seconds. */
static void update_rate(struct progress *progress, uint64_t now_ns)
{
    double seconds = (double)(now_ns - progress->rate_ns) / (double)NS_PER_S;
    double rate = (double)(progress->bytes_done - progress->rate_bytes) / seconds;
    double weight = seconds >= 2 ? 1 : seconds / 2;
    progress->rate += progress->rate > 0 ? (rate - progress->rate) * weight : rate;
    progress->rate_bytes = progress->bytes_done;
    progress->rate_ns = now_ns;
}

void progress_tick(struct progress *progress, uint64_t now_ns)
{
    if (!progress->to)
        return;
    if (progress->started_ns == 0)
        progress->started_ns = progress->rate_ns = now_ns;
    if (now_ns - progress->started_ns < NS_PER_S || now_ns - progress->rate_ns < NS_PER_S / 10)
        return;
    update_rate(progress, now_ns);
    char line[PROGRESS_WIDTH + 1];
    struct text text;
    text_init(&text, line, sizeof line);
    progress_format(progress, &text);
    (void)fprintf(progress->to, "\r%-*s", PROGRESS_WIDTH, line);
    (void)fflush(progress->to);
    progress->drawn_ns = now_ns;
}

void progress_clear(struct progress *progress)
{
    if (!progress->to || progress->drawn_ns == 0)
        return;
    (void)fprintf(progress->to, "\r%*s\r", PROGRESS_WIDTH, "");
    (void)fflush(progress->to);
    progress->drawn_ns = 0;
}
