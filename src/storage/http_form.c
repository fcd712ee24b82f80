/* Content of a request: the file in a browser's form. */
#include "storage/http_op.h"

bool http_form_filter(struct door_op *door)
{
    struct http_op *op = http_op_of(door);
    struct http_form *form = &op->form;
    while (door->piece.size > 0 && form->at != HTTP_FORM_OVER) {
        size_t used;
        struct span data;
        err_t err = http_form_next(form, door->piece, &used, &data);
        if (err_is(err)) {
            door->body.err = err;
            return true;
        }
        door->piece = span_of(door->piece.data + used, door->piece.size - used);
        if (data.size > 0) {
            door->body.data = data;
            return true;
        }
    }
    if (form->at == HTTP_FORM_OVER) /* whatever follows is of no interest, but has to be read */
        door->piece = span_of(NULL, 0);
    if (door->exchange->has_more)
        return false;
    door->body.is_last = true;
    if (form->at != HTTP_FORM_OVER)
        door->body.err = ERR(PROTOCOL, 0); /* the form ends without its file */
    return true;
}
