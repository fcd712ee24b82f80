#include "base/suggest.h"

#include <ctype.h>
#include <string.h>

enum { WORD_MAX = 63 };

static int letter(char c)
{
    return c == '-' ? '_' : tolower((unsigned char)c);
}

static size_t least(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

size_t suggest_distance(const char *a, const char *b)
{
    size_t a_size = strlen(a), b_size = strlen(b);
    if (a_size > WORD_MAX || b_size > WORD_MAX)
        return SIZE_MAX;
    size_t row[WORD_MAX + 1]; /* distances of a's first i letters to every beginning of b */
    for (size_t j = 0; j <= b_size; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t replaced = diagonal + (letter(a[i - 1]) != letter(b[j - 1]));
            diagonal = row[j];
            row[j] = least(row[j] + 1, row[j - 1] + 1, replaced);
        }
    }
    return row[b_size];
}

void suggest_start(struct suggestion *suggestion, const char *wrong)
{
    size_t third = strlen(wrong) / 3;
    *suggestion = (struct suggestion){wrong, NULL, (third > 2 ? third : 2) + 1};
}

void suggest_offer(struct suggestion *suggestion, const char *word)
{
    size_t distance = suggest_distance(suggestion->wrong, word);
    if (distance < suggestion->distance && distance < strlen(word)) {
        suggestion->best = word;
        suggestion->distance = distance;
    }
}
