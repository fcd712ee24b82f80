/* One operation as a stage machine.
 *
 *   ROUTE ----> ASK ------> TALK ----> JUDGE ----> UNWIND -> DONE
 *     |  ^       ^  (call)   |  \__|     |
 *     |  |       |           v           |
 *     '--|-----> CALL <-> (first piece)  |     TALK, CALL: again on every kick
 *        |       ^                       |
 *        |       '-----------------------|     next candidate, or next tracker
 *        '------ PAUSE <-----------------'     the list is used up: another round
 *
 * Kicks come from callbacks of the connection, the source and the timer; the stage looks what has
 * changed. */
#ifndef CAIRN_CLIENT_OP_H
#define CAIRN_CLIENT_OP_H

#include "client/client.h"

/** End the operation with `err`, soon. */
void op_give_up(struct client_op *op, err_t err);

#endif
