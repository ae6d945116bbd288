/*
 * store: the definitions, in SQLite. No SQL anywhere else.
 *
 * WAL, synchronous=FULL: when a function here returns 0, the change survives SIGKILL and power
 * loss. Secrets are sealed with a master key that is not in the database (vault.h). One process per
 * data directory (a lock file refuses a second). Migrations go by user_version, with a backup
 * first; a newer schema is refused.
 */
#ifndef MANYTUN_STORE_STORE_H
#define MANYTUN_STORE_STORE_H

#include "base/spec.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct store;

struct store_tunnel {
    struct spec_tunnel spec;
    enum spec_source source;
    uint64_t generation;
    struct timespec created_at;
};

struct store_forward {
    struct spec_forward spec;
    enum spec_source source;
    uint64_t generation;
    struct timespec created_at;
    uint16_t bound_port;
};

/*
 * Opens <directory>/manytun.db, making the directory (0700) and the file (0600) if needed.
 * 0, or a negative errno with a sentence for a person in error (what, where, what to do).
 */
int store_open(const char *directory, struct store **out, char error[256]);
/*
 * The same, with the file of the master key that secrets are sealed with. NULL, and store_open():
 * <directory>/master.key, which is made for a database that has none yet, and never for another.
 */
int store_open_with_key(const char *directory, const char *key_file, struct store **out,
                        char error[256]);
/*
 * The same, with the lock of a process that passed its own on (store_lock_fd()): it is the store's
 * on success.
 */
int store_open_locked(const char *directory, const char *key_file, int lock, struct store **out,
                      char error[256]);
/*
 * The same, for a program that had the database open, and goes on: also when a newer one that was
 * about to take over has brought the schema to a version that this one does not know.
 */
int store_open_again(const char *directory, const char *key_file, int lock, struct store **out,
                     char error[256]);
/* The descriptor that holds the lock, borrowed: whoever has a duplicate holds it, too. */
int store_lock_fd(const struct store *store);
void store_close(struct store *store);

/*
 * Seals every secret with another master key, in one transaction. new_key_file = NULL: a new key
 * takes the present one's place in its file. Else the key in new_key_file, which is made when it is
 * not there; the store is to be opened with it from then on. What was sealed with the present key
 * is then removed from the database's files, and its old backups with it. A crash leaves one key
 * that opens the database, where store_open_with_key() finds it: the old or the new file.
 * 0, or a negative errno with a sentence for a person in error; then the key is what it was.
 */
int store_rotate_master_key(struct store *store, const char *new_key_file, char error[256]);

/*
 * Makes what is done between them one durable transaction. They nest: an inner part that fails is
 * undone alone. store_end() commits when rc is 0, else undoes, and returns what came of it all.
 */
int store_begin(struct store *store);
int store_end(struct store *store, int rc);

/*
 * Each is one durable transaction, or a part of the one that was begun. 0, -EEXIST, -ENOENT,
 * -ENOMEM, or -EIO (store_error() says why). A failure leaves everything as it was.
 */
int store_insert_tunnel(struct store *store, const struct store_tunnel *tunnel);
/* Everything of the row with this name but source and created_at, secrets included. */
int store_update_tunnel(struct store *store, const struct store_tunnel *tunnel);
/* The same where the row cannot be read, with source and created_at: what it had counted goes. */
int store_replace_tunnel(struct store *store, const struct store_tunnel *tunnel);
int store_delete_tunnel(struct store *store, const char *name); /* and its forwards */
int store_insert_forward(struct store *store, const struct store_forward *forward);
int store_update_forward(struct store *store, const struct store_forward *forward);
int store_replace_forward(struct store *store, const struct store_forward *forward);
int store_delete_forward(struct store *store, const char *name);
/* What a port 0 became, when it changes after a restart. */
int store_set_bound_port(struct store *store, const char *forward, uint16_t port);

/* A row that cannot be read. What is not there, or not of its type, is as written. */
struct store_unreadable {
    const char *name;        /* of any form; "" = none */
    const char *tunnel;      /* of a forward, of any form; "" = none */
    const char *reason;      /* a part of a sentence for a person: what is wrong with it */
    uint64_t generation;     /* at least 1 */
    enum spec_source source; /* SPEC_SOURCE_API where it is none */
};
/* Is told of such a row, which stays as it is. What it is given is valid until it returns. */
typedef void store_each_unreadable(void *ctx, const struct store_unreadable *row);

/*
 * Calls each() for every row in the order of names; a negative return stops and is returned.
 * What each() is given is freed after it returns; it may move the spec out by zeroing it. Rows that
 * cannot be read are passed over; unreadable, where it is not NULL, is told of them.
 */
int store_load_tunnels(struct store *store, int (*each)(void *ctx, struct store_tunnel *tunnel),
                       store_each_unreadable *unreadable, void *ctx);
int store_load_forwards(struct store *store, int (*each)(void *ctx, struct store_forward *forward),
                        store_each_unreadable *unreadable, void *ctx);

/*
 * How often the definitions have changed, all of them together: at least once with every change
 * that was committed, and never back. 0 or -EIO.
 */
int store_definitions_generation(struct store *store, uint64_t *out);
/* The highest generation that any deleted object had, 0 = none was deleted. 0 or -EIO. */
int store_deleted_generation(struct store *store, uint64_t *out);

/* --- Timestamps of handshakes (server/timestamps.h); they go with their tunnels ----------------
 */

struct store_timestamps {
    const char *tunnel;
    uint64_t after_ns; /* may have been sent before the last start */
    uint64_t until_ns; /* may be sent since */
};

/* Writes until_ns where it is later than what is there, as one transaction. 0, -ENOMEM or -EIO. */
int store_save_timestamps(struct store *store, const struct store_timestamps *rows, size_t count);
/*
 * A start: of every tunnel, what might be sent is now what may have been; what may be sent is
 * until_ns, or step_ns more than that. 0, -ENOMEM or -EIO.
 */
int store_renew_timestamps(struct store *store, uint64_t until_ns, uint64_t step_ns);
/* 0, -ENOENT, -ENOMEM or -EIO. tunnel is borrowed. */
int store_find_timestamps(struct store *store, const char *tunnel, struct store_timestamps *out);

/* --- Totals: what objects have counted; they go with their objects ---------------------------- */

struct store_tunnel_totals {
    const char *tunnel;
    uint64_t rx_bytes, tx_bytes, handshakes;
};

struct store_peer_totals {
    const char *tunnel;
    const uint8_t *public_key; /* SPEC_KEY_LEN */
    uint64_t rx_bytes, tx_bytes, handshakes;
};

struct store_forward_totals {
    const char *forward;
    uint64_t connections, connect_failures, bytes_in, bytes_out;
};

/* All rows, or none. 0, -ENOMEM or -EIO, also when there is no object of that name. */
int store_save_tunnel_totals(struct store *store, const struct store_tunnel_totals *rows,
                             size_t count);
int store_save_peer_totals(struct store *store, const struct store_peer_totals *rows, size_t count);
int store_save_forward_totals(struct store *store, const struct store_forward_totals *rows,
                              size_t count);
/*
 * A peer that its tunnel has no more: deletes its totals and its sighting. 0, also when there are
 * none, or as the store fails.
 */
int store_forget_peer(struct store *store, const char *tunnel,
                      const uint8_t public_key[SPEC_KEY_LEN]);
int store_load_tunnel_totals(struct store *store,
                             void (*each)(void *ctx, const struct store_tunnel_totals *totals),
                             void *ctx);
/* A tunnel's come one after the other. */
int store_load_peer_totals(struct store *store,
                           void (*each)(void *ctx, const struct store_peer_totals *totals),
                           void *ctx);
int store_load_forward_totals(struct store *store,
                              void (*each)(void *ctx, const struct store_forward_totals *totals),
                              void *ctx);

/* --- Sightings: where and when peers were seen; they go with their tunnels -------------------- */

#define STORE_TIMESTAMP_LEN 12

struct store_sighting {
    const char *tunnel;
    const uint8_t *public_key; /* SPEC_KEY_LEN */
    const char *endpoint;      /* "" = unknown */
    const char *defined;       /* the endpoint that was defined then, "" = none */
    uint64_t heard_unix_ns;
    const uint8_t *timestamp; /* STORE_TIMESTAMP_LEN, TAI64N */
};

/* All rows, or none; each in place of the one before. 0, -ENOMEM or -EIO. */
int store_save_sightings(struct store *store, const struct store_sighting *rows, size_t count);
/* Those of one tunnel. 0, or as the store fails. */
int store_load_sightings(struct store *store, const char *tunnel,
                         void (*each)(void *ctx, const struct store_sighting *sighting), void *ctx);

/* --- API tokens: only their hashes are here -------------------------------------------------- */

#define STORE_TOKEN_HASH_LEN 32

/* Times are nanoseconds in 64 bits: the first second that is too late (2262-04-11T23:47:16Z). */
#define STORE_TIME_SECONDS_END (INT64_MAX / 1000000000)

enum store_role { STORE_ROLE_READ = 1, STORE_ROLE_ADMIN = 2 };

struct store_token {
    char name[SPEC_NAME_MAX + 1];
    enum store_role role;
    struct timespec created_at;
    struct timespec expires_at; /* zero = never; before STORE_TIME_SECONDS_END */
    uint8_t hash[STORE_TOKEN_HASH_LEN];
};

int store_insert_token(struct store *store, const struct store_token *token);
int store_delete_token(struct store *store, const char *name);
int store_count_tokens(struct store *store, size_t *out);
/* In the order of names; a row that cannot be read is reported and passed over. */
int store_load_tokens(struct store *store, int (*each)(void *ctx, const struct store_token *token),
                      void *ctx);

/* --- Events: a ring of what happened ---------------------------------------------------------- */

struct store_event {
    uint64_t id;
    struct timespec time;
    const char *type;
    const char *kind; /* of the object; texts are "" where there is none */
    const char *name;
    const char *reason;
    const char *message;
    const char *actor;
    uint64_t generation; /* 0 = none */
};

/* Returns 0 to go on, 1 to stop, or a negative errno. The event is valid until it returns. */
typedef int store_each_event(void *ctx, const struct store_event *event);

/*
 * Adds an event (its id is not looked at) with the next id after `skipped` that stay unused, and
 * removes the oldest so that ids span at most `kept`.
 */
int store_insert_event(struct store *store, const struct store_event *event, uint64_t skipped,
                       uint64_t kept);
/* The ids of the oldest event and of the newest, which is the last one that was given. 0 = none. */
int store_event_span(struct store *store, uint64_t *first, uint64_t *last);
/* Calls each() for the events with ids above after, in their order. */
int store_load_events(struct store *store, uint64_t after, store_each_event *each, void *ctx);

/* What went wrong in the last call that failed with -EIO. */
const char *store_error(const struct store *store);

#endif
