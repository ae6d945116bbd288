/*
 * admin_token: the first token, made at the first start and left in a file for the owner.
 */
#ifndef MANYTUN_API_ADMIN_TOKEN_H
#define MANYTUN_API_ADMIN_TOKEN_H

struct store;

/*
 * When the store has no token: makes one for the role admin, writes it to <directory>/admin.token
 * (0600, complete or not at all) and stores its hash. 0, or a negative errno with a sentence for a
 * person in error.
 */
int admin_token_ensure(const char *directory, struct store *store, char error[256]);

#endif
