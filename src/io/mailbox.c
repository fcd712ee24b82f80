#include "io/mailbox.h"

void mailbox_init(struct mailbox *mailbox)
{
    atomic_init(&mailbox->newest, NULL);
    atomic_init(&mailbox->sleeping, false);
}

bool mailbox_push(struct mailbox *mailbox, struct io_message *message)
{
    message->next = atomic_load_explicit(&mailbox->newest, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&mailbox->newest, &message->next, message))
        ;
    /* `message` may be gone already: the loop has it */
    return atomic_load(&mailbox->sleeping) && atomic_exchange(&mailbox->sleeping, false);
}

struct io_message *mailbox_take(struct mailbox *mailbox)
{
    if (atomic_load_explicit(&mailbox->newest, memory_order_relaxed) == NULL)
        return NULL;
    struct io_message *newest = atomic_exchange(&mailbox->newest, NULL);
    struct io_message *oldest = NULL;
    while (newest != NULL) {
        struct io_message *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

size_t mailbox_deliver(struct mailbox *mailbox, struct io *here)
{
    size_t count = 0;
    struct io_message *message = mailbox_take(mailbox);
    for (; message != NULL; count++) {
        struct io_message *next = message->next; /* deliver may give the message away */
        message->deliver(here, message);
        message = next;
    }
    return count;
}

bool mailbox_sleep(struct mailbox *mailbox)
{
    atomic_store(&mailbox->sleeping, true);
    if (atomic_load(&mailbox->newest) == NULL)
        return true;
    mailbox_awake(mailbox);
    return false;
}

void mailbox_awake(struct mailbox *mailbox)
{
    atomic_store_explicit(&mailbox->sleeping, false, memory_order_relaxed);
}
