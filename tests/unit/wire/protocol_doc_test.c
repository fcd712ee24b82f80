/* doc/protocol.md says what the code says: tables of messages and errors, and the examples. */
#include "tests/lib/test.h"
#include "wire/msg.h"

static char doc[1 << 17];

static void read_doc(void)
{
    FILE *file = fopen(PROTOCOL_DOC, "rb");
    EXPECT(file != NULL);
    size_t size = fread(doc, 1, sizeof doc - 1, file);
    (void)fclose(file);
    EXPECT(size > 1000 && size < sizeof doc - 1);
    doc[size] = '\0';
}

static void expect_line(const char *line)
{
    if (!strstr(doc, line))
        (void)fprintf(stderr, "  doc/protocol.md lacks: %s", line);
    EXPECT(strstr(doc, line) != NULL);
}

static void expect_message(int number, const char *name, const char *fields)
{
    char line[2048];
    size_t size = strlen(fields); /* each field ends with ", " */
    (void)snprintf(line, sizeof line, "\n| %d | %s | %.*s |\n", number, name,
        (int)(size > 0 ? size - 2 : 0), fields);
    expect_line(line);
}

TEST(the_table_of_messages_is_the_one_of_the_code)
{
    read_doc();
#define F(kind, name) #name " " #kind ", "
#define MESSAGE(NAME, name, number, fields) expect_message(number, #name, "" fields);
#include "wire/msg.def"
#undef MESSAGE
#undef F
}

TEST(the_table_of_errors_is_the_one_of_the_code)
{
    char line[256];
    read_doc();
#define X(name, number, exit_code, text)                                            \
    (void)snprintf(line, sizeof line, "\n| %d | %s | %s |\n", number, #name, text); \
    expect_line(line);
    ERR_CODES(X)
#undef X
}
