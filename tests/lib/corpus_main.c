/* Runs a fuzz target once over every file of a corpus directory: the corpus as a test. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t input[4 << 20];

static int run_file(const char *directory, const char *name)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "rb");
    if (!file)
        return 0;
    size_t size = fread(input, 1, sizeof input, file);
    (void)fclose(file);
    uint8_t *copy = malloc(size > 0 ? size : 1); /* its own block, so that sanitizers see its end */
    if (!copy)
        return 0;
    memcpy(copy, input, size);
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    return 1;
}

int main(int argc, char **argv)
{
    int count = 0;
    for (int i = 1; i < argc; i++) {
        DIR *directory = opendir(argv[i]);
        if (!directory) {
            (void)fprintf(stderr, "no corpus at %s\n", argv[i]);
            return 1;
        }
        for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
            if (entry->d_name[0] != '.')
                count += run_file(argv[i], entry->d_name);
        (void)closedir(directory);
    }
    (void)printf("%d passed, 0 failed\n", count);
    return count == 0;
}
