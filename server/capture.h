/*
 * capture: control's end of a capture of inner packets (base/tap_frame.h): reads it as a capture
 * file (base/pcap.h).
 *
 * At most one frame is kept here; whoever does not read lets the socket fill, and the worker leaves
 * packets out, which is counted.
 */
#ifndef MANYTUN_SERVER_CAPTURE_H
#define MANYTUN_SERVER_CAPTURE_H

#include "base/tap_frame.h"

#include <stddef.h>
#include <sys/types.h>

struct capture;

/* Takes over fd, also on failure. 0 or -ENOMEM. */
int capture_new(int fd, struct capture **out);
/* Ends it, with what was not read. NULL is allowed. */
void capture_free(struct capture *capture);

/*
 * Reads up to max bytes of the file, its header first. How many; 0 = it is over; -EAGAIN = there
 * are no more yet, and capture_fd() becomes readable; -EPROTO.
 */
ssize_t capture_read(struct capture *capture, void *out, size_t max);
int capture_fd(const struct capture *capture);
/* Lets the worker send what it still has, and then the end. */
void capture_stop(struct capture *capture);

/* As of the frame that was read last. */
struct tap_totals capture_totals(const struct capture *capture);

#endif
