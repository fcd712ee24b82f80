/* The present attempt of an operation: one call on one connection, content flowing out of the
 * source or into the sink. Every event kicks the operation. */
#ifndef CAIRN_CLIENT_TALK_H
#define CAIRN_CLIENT_TALK_H

#include "client/client.h"

/** Something has happened: let the stage look. */
void op_kick(struct client_op *op);

/** True when the first piece of the content is there, or none is needed: the call can start. Else
 * the source was asked, and kicks. False also when the source failed: op->local_err is set. */
bool talk_has_first_piece(struct client_op *op);

/** Make ready for another attempt. False: the source can't give its content again. */
MUST bool talk_rewind(struct client_op *op);

/** Start the call to op->asked: the query if op->is_asking, else the request. On failure
 * op->call_err is set and no call is out. */
void talk_start(struct client_op *op);

/** Move content on, as far as it goes without waiting. */
void talk_feed(struct client_op *op);

#endif
