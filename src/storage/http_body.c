/* Content of a request, as operations want it: plain, or the file in a browser's form. */
#include "storage/http_op.h"

static void pull(struct http_op *op);

/* Of a form: the next content in what came, or what comes next. False: more has to be pulled. */
static bool next_of_form(struct http_op *op)
{
    struct http_form *form = &op->form;
    while (op->form_rest.size > 0 && form->at != HTTP_FORM_OVER) {
        size_t used;
        struct span data;
        err_t err = http_form_next(form, op->form_rest, &used, &data);
        if (err_is(err)) {
            op->body.err = err;
            return true;
        }
        op->form_rest = span_of(op->form_rest.data + used, op->form_rest.size - used);
        if (data.size > 0) {
            op->body.data = data;
            return true;
        }
    }
    if (form->at == HTTP_FORM_OVER) /* whatever follows is of no interest, but has to be read */
        op->form_rest = span_of(NULL, 0);
    if (op->request->has_more)
        return false;
    op->body.is_last = true;
    if (form->at != HTTP_FORM_OVER)
        op->body.err = ERR(PROTOCOL, 0); /* the form ends without its file */
    return true;
}

static void woken(struct http_op *op)
{
    if (op->begin) {
        void (*begin)(struct http_op *) = op->begin;
        op->begin = NULL;
        begin(op);
    } else {
        machine_arrive(op->body_machine);
    }
}

static void pulled(struct http_request *request)
{
    struct http_op *op = request->op;
    op->door->loop->counters.bytes_in += request->data.size;
    op->body.err = request->body_err;
    if (err_is(request->body_err)) {
        woken(op);
        return;
    }
    if (op->is_form) {
        op->form_rest = request->data;
        if (!next_of_form(op)) {
            pull(op);
            return;
        }
    } else {
        op->body.data = request->data;
        op->body.is_last = !request->has_more;
    }
    woken(op);
}

static void pull(struct http_op *op)
{
    http_request_next_data(op->request, pulled);
}

/* Pieces of a form that are there already still have to arrive later: by way of the run queue. */
static void body_next(struct body *body, struct machine *machine)
{
    struct http_op *op = CONTAINER_OF(body, struct http_op, body);
    op->body_machine = machine;
    body->data = span_of(NULL, 0);
    if (op->is_form && next_of_form(op))
        machine_arrive(machine);
    else
        pull(op);
}

void http_body_begin(struct http_op *op, void (*begin)(struct http_op *op))
{
    op->body = (struct body){.is_last = !op->request->has_more, .next = body_next};
    op->begin = begin;
    if (op->request->has_more)
        pull(op);
    else
        woken(op);
}
