/* One accepted FastDFS connection. */
#ifndef CAIRN_NET_FDFS_CONNECTION_H
#define CAIRN_NET_FDFS_CONNECTION_H

#include "net/exchange_connection.h"
#include "net/fdfs_server.h"

struct fdfs_connection {
    struct exchange_connection exchange; /* its control frame: refusals of what is malformed */
    struct fdfs_request request;
};

#endif
