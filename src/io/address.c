/* Addresses as text and back. No names are resolved but localhost: a resolver may block. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "io/io.h"

enum { HOST_TEXT_MAX = INET6_ADDRSTRLEN };

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
static const uint8_t loopback_6[16] = {[15] = 1};

/* 0..65535, digits only, nothing after them. */
static bool port_parse(const char *text, uint16_t *ret)
{
    unsigned port = 0;
    size_t count = 0;
    for (; text[count] >= '0' && text[count] <= '9' && count < 5; count++)
        port = port * 10 + (unsigned)(text[count] - '0');
    if (count == 0 || text[count] != '\0' || port > UINT16_MAX)
        return false;
    *ret = (uint16_t)port;
    return true;
}

/* Cut "host:port" or "[host]:port" apart; `host` gets a copy, `*ret_port` points into `text`. */
static bool host_split(const char *text, char *host, bool *ret_bracketed, const char **ret_port)
{
    bool bracketed = text[0] == '[';
    const char *begin = text + (bracketed ? 1 : 0);
    const char *end = strchr(begin, bracketed ? ']' : ':');
    if (end == NULL || end - begin >= HOST_TEXT_MAX || (bracketed && end[1] != ':'))
        return false;
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    *ret_bracketed = bracketed;
    *ret_port = end + (bracketed ? 2 : 1);
    return true;
}

static bool host_parse_6(const char *host, struct io_address *ret)
{
    if (inet_pton(AF_INET6, host, ret->bytes) != 1)
        return false;
    ret->family = 6;
    if (memcmp(ret->bytes, mapped_prefix, sizeof mapped_prefix) == 0) {
        memmove(ret->bytes, ret->bytes + sizeof mapped_prefix, 4);
        memset(ret->bytes + 4, 0, sizeof ret->bytes - 4);
        ret->family = 4;
    }
    return true;
}

static bool host_parse_4(const char *host, struct io_address *ret)
{
    const char *text = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    ret->family = 4;
    return inet_pton(AF_INET, text, ret->bytes) == 1;
}

err_t io_address_parse(const char *text, struct io_address *ret)
{
    char host[HOST_TEXT_MAX];
    bool bracketed;
    const char *port;
    struct io_address address = {.family = 0};
    if (!host_split(text, host, &bracketed, &port) || !port_parse(port, &address.port))
        return ERR(USAGE, 0);
    if (!(bracketed ? host_parse_6(host, &address) : host_parse_4(host, &address)))
        return ERR(USAGE, 0);
    *ret = address;
    return ERR_OK;
}

const char *io_address_format(const struct io_address *address, char *text)
{
    char host[HOST_TEXT_MAX];
    if (address->family == 4 && inet_ntop(AF_INET, address->bytes, host, sizeof host) != NULL)
        (void)snprintf(text, IO_ADDRESS_TEXT_MAX, "%s:%u", host, address->port);
    else if (address->family == 6 && inet_ntop(AF_INET6, address->bytes, host, sizeof host) != NULL)
        (void)snprintf(text, IO_ADDRESS_TEXT_MAX, "[%s]:%u", host, address->port);
    else
        (void)snprintf(text, IO_ADDRESS_TEXT_MAX, "none");
    return text;
}

bool io_address_is_loopback(const struct io_address *address)
{
    if (address->family == 4)
        return address->bytes[0] == 127;
    return address->family == 6 && memcmp(address->bytes, loopback_6, sizeof loopback_6) == 0;
}
