/*
 * unix_socket: a local socket (the API's, and that of a takeover), for the owner of the process and
 * root.
 */
#ifndef MANYTUN_API_UNIX_SOCKET_H
#define MANYTUN_API_UNIX_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Listens on path with a socket of this type, SOCK_STREAM or SOCK_SEQPACKET; path gets mode 0600. A
 * socket that a dead process left there is removed; one that answers, or anything that is no
 * socket, is not. Returns a non-blocking descriptor or -errno; -EADDRINUSE and -EEXIST for these
 * two.
 */
int unix_socket_listen(const char *path, int type);

/*
 * Whether the peer of a connection is this process's user or root (SO_PEERCRED). *uid is its user,
 * untouched when that cannot be told.
 */
bool unix_socket_peer_is_owner(int fd, uid_t *uid);

#endif
