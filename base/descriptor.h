/*
 * descriptor: descriptors that somebody needs for longer than their owner.
 *
 * What waits to be sent to another process is held, not duplicated, so that waiting takes no
 * descriptor. The owner closes with descriptor_close(); until the last hold is given back the
 * number stays taken, and nobody can get it for something else. One table for the process, for one
 * thread.
 */
#ifndef MANYTUN_BASE_DESCRIPTOR_H
#define MANYTUN_BASE_DESCRIPTOR_H

/* fd is open, and whoever owns it closes it with descriptor_close(). 0 or -ENOMEM. */
int descriptor_hold(int fd);
/* Gives one hold back; closes fd if it was the last one and the owner has closed it meanwhile. */
void descriptor_release(int fd);
/* In place of close(), by the owner: at once, or with the last hold. */
void descriptor_close(int fd);

#endif
