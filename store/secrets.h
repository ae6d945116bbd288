/*
 * secrets: the master key of a database, and its change. Inside the store.
 *
 * The table vault has one row once a database has a master key: its id, and whether the files were
 * scrubbed since the sealing changed. Every row of the tables *_secrets has the id of the key that
 * it is sealed with; an empty id means that it is in the clear, as before there were master keys.
 *
 * A key that is being changed is in <key file>.new, from before the transaction that reseals
 * everything until after it: at any moment one of the two files has the key of the database.
 */
#ifndef MANYTUN_STORE_SECRETS_H
#define MANYTUN_STORE_SECRETS_H

#include "store/database.h"
#include "store/vault.h"

/* Where each kind of secret is, for the vault. */
#define private_key_place(tunnel_name)                                                             \
    ((const struct vault_place){.table = "tunnel_secrets", .tunnel = (tunnel_name), .peer = ""})
#define preshared_key_place(tunnel_name, peer_name)                                                \
    ((const struct vault_place){                                                                   \
        .table = "peer_secrets", .tunnel = (tunnel_name), .peer = (peer_name)})

/*
 * Opens the vault of a migrated database (store->vault). key_file = NULL: <directory>/master.key,
 * which is made when the database has no master key yet, and never otherwise. Seals what is in the
 * clear, then removes every trace of it: free pages, the log, backups of the schemas before.
 * 0, or a negative errno with a sentence for a person in error.
 */
int secrets_unlock(struct store *store, const char *directory, const char *key_file,
                   char error[256]);

/* Forgets the key. */
void secrets_lock(struct store *store);

#endif
