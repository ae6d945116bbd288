/*
 * sendwindow: which segments tell how much the peer has room for.
 *
 * lwIP goes by sequence numbers first, as RFC 9293 does (3.10.7.4). So it takes the acknowledgment
 * in a retransmission, whose sequence number is an older one, and not the window that comes with
 * it, and then sends beyond what the peer has room for. Where both sides send, that ends a
 * connection: a peer without room drops such segments together with the acknowledgments in them
 * (RFC 9293, 3.10.7.4: a sequence number beyond the window is not acceptable), sends again what it
 * has sent before, and tells us nothing new.
 *
 * Here an acknowledgment of something new always tells the window, and one of less than was
 * acknowledged before, which was overtaken, never does.
 */
#ifndef MANYTUN_ENGINE_STACK_SENDWINDOW_H
#define MANYTUN_ENGINE_STACK_SENDWINDOW_H

struct flow;
struct pbuf;
struct swap;

/* swap_tcp_input() by that rule. */
void sendwindow_input(struct swap *swap, struct pbuf *p, const struct flow *flow);

#endif
