/*
 * secrets: owns the vault of an open store, and the name of its key's file.
 *
 * A database is without a master key (new, or from before there were any), or sealed. It becomes
 * sealed in one transaction, and changes its key in one.
 */
#include "store/secrets.h"

#include "base/log.h"
#include "store/private_file.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the table vault says. */
struct state {
    bool sealed;
    uint8_t key_id[VAULT_ID_LEN];
    bool scrubbed;
};

static int explain(char error[256], int rc, const char *what, const char *path, const char *why)
{
    snprintf(error, 256, "%s %.110s: %s", what, path, why);
    return rc;
}

static int explain_database(struct store *store, int rc, char error[256])
{
    snprintf(error, 256, "the secrets in the database: %.200s",
             rc == -ENOMEM ? "out of memory" : store->error);
    return rc;
}

static int read_state(struct store *store, struct state *out)
{
    sqlite3_stmt *row = store_prepare(store, "SELECT key_id, scrubbed FROM vault");
    if (row == NULL)
        return store->failure;
    *out = (struct state){0};
    int rc = store_step(store, row);
    if (rc == 1) {
        out->sealed = true;
        out->scrubbed = sqlite3_column_int(row, 1) != 0;
        if (!store_column_blob(row, 0, out->key_id, sizeof(out->key_id)))
            rc = store_fail_damaged(store, "the table vault");
    }
    store_finish(store, row);
    return rc < 0 ? rc : 0;
}

/* 1 or 0, or as the store fails. */
static int ask(struct store *store, const char *sql)
{
    sqlite3_stmt *row = store_prepare(store, sql);
    if (row == NULL)
        return store->failure;
    int rc = store_step(store, row);
    if (rc == 1)
        rc = sqlite3_column_int(row, 0) != 0;
    store_finish(store, row);
    return rc;
}

/* --- Scrubbing -------------------------------------------------------------------------------- */

static bool is_backup(const char *name)
{
    size_t len = strlen(name);
    return strncmp(name, "manytun.db.", 11) == 0 &&
           ((len > 7 && strcmp(name + len - 7, ".backup") == 0) ||
            strcmp(name, "manytun.db.backup.partial") == 0);
}

/* Backups of this database have its secrets as they were sealed, or not sealed, before. */
static int remove_backups(const char *directory)
{
    DIR *entries = opendir(directory);
    if (entries == NULL)
        return -errno;
    int rc = 0;
    const struct dirent *entry;
    while (rc == 0 && (entry = readdir(entries)) != NULL) {
        if (!is_backup(entry->d_name))
            continue;
        if (unlinkat(dirfd(entries), entry->d_name, 0) < 0 && errno != ENOENT)
            rc = -errno;
        else
            log_info("%s/%s is removed: its secrets are not sealed with the present master key",
                     directory, entry->d_name);
    }
    closedir(entries);
    return rc;
}

/*
 * Leaves nothing of what the secrets were before, neither in free pages, nor in the log, nor in
 * backups. Until it has succeeded, every start tries it again.
 */
static void scrub(struct store *store)
{
    int rc = store_exec(store, "VACUUM");
    if (rc == 0)
        rc = ask(store, "PRAGMA wal_checkpoint(TRUNCATE)"); /* 1 = somebody reads the log */
    if (rc != 0) {
        log_warn("old secrets may be left in the database's files until the next start: %s",
                 rc < 0 ? store->error : "another program reads them");
        return;
    }
    rc = remove_backups(store->directory);
    if (rc < 0)
        log_warn("old backups in %s cannot be removed: %s", store->directory, strerror(-rc));
    else if (store_exec(store, "UPDATE vault SET scrubbed = 1") < 0)
        log_warn("%s", store->error);
}

/* --- Sealing all ------------------------------------------------------------------------------ */

/* How every secret is to change. */
struct resealing {
    const struct vault *from; /* NULL = they are in the clear */
    const struct vault *to;
};

/* The SQL function reseal(table, tunnel, peer, secret). */
static void reseal(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count;
    const struct resealing *resealing = sqlite3_user_data(context);
    const struct vault_place place = {
        .table = (const char *)sqlite3_value_text(values[0]),
        .tunnel = (const char *)sqlite3_value_text(values[1]),
        .peer = (const char *)sqlite3_value_text(values[2]),
    };
    const uint8_t *stored = sqlite3_value_blob(values[3]);
    size_t len = (size_t)sqlite3_value_bytes(values[3]);
    uint8_t secret[SPEC_KEY_LEN];
    uint8_t sealed[VAULT_SEALED_LEN];
    bool ok = place.table != NULL && place.tunnel != NULL && place.peer != NULL && stored != NULL;
    if (ok && resealing->from != NULL) {
        ok = len == VAULT_SEALED_LEN && vault_open(resealing->from, &place, stored, secret) == 0;
    } else if (ok) {
        ok = len == SPEC_KEY_LEN;
        if (ok)
            memcpy(secret, stored, sizeof(secret));
    }
    if (ok) {
        vault_seal(resealing->to, &place, secret, sealed);
        sqlite3_result_blob(context, sealed, sizeof(sealed), SQLITE_TRANSIENT);
    } else {
        char text[192];
        snprintf(text, sizeof(text), "a key of the tunnel \"%.63s\" cannot be read: it is damaged",
                 place.tunnel != NULL ? place.tunnel : "");
        sqlite3_result_error(context, text, -1);
    }
    sodium_memzero(secret, sizeof(secret));
}

static int run_with_id(struct store *store, const char *sql, const struct vault *vault)
{
    sqlite3_stmt *stmt = store_prepare(store, sql);
    if (stmt == NULL)
        return store->failure;
    int rc = store_bind_blob(stmt, 1, vault_id(vault), VAULT_ID_LEN)
                 ? store_run(store, stmt)
                 : store_fail(store, "sealing the secrets");
    store_finish(store, stmt);
    return rc;
}

/* Changes every secret, and what the database says of its key, in one transaction. */
static int seal_all(struct store *store, struct resealing *resealing, const char *set_state)
{
    static const char *const updates[] = {
        "UPDATE tunnel_secrets SET key_id = ?,"
        " private_key = reseal('tunnel_secrets', tunnel, '', private_key)",
        "UPDATE peer_secrets SET key_id = ?,"
        " preshared_key = reseal('peer_secrets', tunnel, peer, preshared_key)",
    };
    if (sqlite3_create_function(store->db, "reseal", 4, SQLITE_UTF8 | SQLITE_DIRECTONLY, resealing,
                                reseal, NULL, NULL) != SQLITE_OK)
        return store_fail(store, "sealing the secrets");
    int rc = store_begin(store);
    if (rc == 0) {
        for (size_t i = 0; i < sizeof(updates) / sizeof(updates[0]) && rc == 0; i++)
            rc = run_with_id(store, updates[i], resealing->to);
        if (rc == 0)
            rc = run_with_id(store, set_state, resealing->to);
        rc = store_end(store, rc);
    }
    sqlite3_create_function(store->db, "reseal", 4, SQLITE_UTF8, NULL, NULL, NULL, NULL);
    return rc;
}

/* --- Unlocking -------------------------------------------------------------------------------- */

static int explain_key(char error[256], int rc, const char *path)
{
    return explain(error, rc, "the master key", path,
                   rc == -EINVAL ? "must be 32 bytes in base64 on one line" : strerror(-rc));
}

static int read_key(const char *path, struct vault **out, char error[256])
{
    int rc = vault_read(path, out);
    return rc < 0 ? explain_key(error, rc, path) : 0;
}

static bool is_key_of(const struct vault *vault, const struct state *state)
{
    return sodium_memcmp(vault_id(vault), state->key_id, VAULT_ID_LEN) == 0;
}

static int new_key_name(const struct store *store, char out[PATH_MAX])
{
    return snprintf(out, PATH_MAX, "%s.new", store->key_file) >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* A change of the key that ended after its transaction: the new key takes its place. */
static int finish_rotation(struct store *store, const struct state *state)
{
    char path[PATH_MAX];
    struct vault *vault;
    int rc = new_key_name(store, path);
    if (rc == 0)
        rc = vault_read(path, &vault);
    if (rc < 0)
        return rc;
    rc = is_key_of(vault, state) ? private_file_rename(path, store->key_file) : -ENOENT;
    if (rc < 0) {
        vault_free(vault);
        return rc;
    }
    log_info("the change of the master key is complete: the new one is in %s", store->key_file);
    store->vault = vault;
    return 0;
}

/* A change of the key that ended before its transaction: the new key has sealed nothing. */
static void forget_rotation(const struct store *store)
{
    char path[PATH_MAX];
    if (new_key_name(store, path) == 0 && unlink(path) == 0)
        log_info("%s is removed: the change of the master key did not take place", path);
}

static int unlock_sealed(struct store *store, const struct state *state, char error[256])
{
    struct vault *vault = NULL;
    int rc = read_key(store->key_file, &vault, error);
    if (rc == 0 && is_key_of(vault, state)) {
        store->vault = vault;
        forget_rotation(store);
        return 0;
    }
    vault_free(vault);
    if ((rc == 0 || rc == -ENOENT) && finish_rotation(store, state) == 0)
        return 0;
    if (rc == 0)
        return explain(error, -EKEYREJECTED, "the master key", store->key_file,
                       "is not the one that the secrets in this database are sealed with; name "
                       "the right one with --master-key-file");
    if (rc == -ENOENT)
        explain(error, rc, "the master key", store->key_file,
                "is gone, and without it the secrets in this database cannot be read: restore it, "
                "or name it with --master-key-file");
    return rc;
}

static int make_key(struct store *store, char error[256])
{
    store->vault = vault_new();
    if (store->vault == NULL)
        return explain(error, -ENOMEM, "the master key", store->key_file, "out of memory");
    int rc = vault_write(store->vault, store->key_file);
    if (rc < 0)
        return explain(error, rc, "cannot write the master key", store->key_file, strerror(-rc));
    log_info("the master key was made: %s; keep a copy apart from those of the database",
             store->key_file);
    return 0;
}

/* Gives the database its first master key. */
static int seal_first(struct store *store, bool may_make, char error[256])
{
    int sealed = ask(store, "SELECT EXISTS (SELECT 1 FROM tunnel_secrets WHERE key_id <> x'') OR"
                            " EXISTS (SELECT 1 FROM peer_secrets WHERE key_id <> x'')");
    int clear = sealed < 0 ? sealed
                           : ask(store, "SELECT EXISTS (SELECT 1 FROM tunnel_secrets) OR"
                                        " EXISTS (SELECT 1 FROM peer_secrets)");
    if (clear < 0)
        return explain_database(store, clear, error);
    if (sealed > 0) {
        store_fail_damaged(store, "which master key it has is not told any more");
        return explain_database(store, -EIO, error);
    }
    int rc = read_key(store->key_file, &store->vault, error);
    if (rc == -ENOENT && may_make)
        rc = make_key(store, error);
    else if (rc == -ENOENT)
        explain(error, rc, "the master key", store->key_file,
                "there is no such file; \"head -c 32 /dev/urandom | base64\" prints a new key");
    if (rc < 0)
        return rc;
    struct resealing resealing = {.to = store->vault};
    rc = seal_all(store, &resealing,
                  clear > 0 ? "INSERT INTO vault (key_id, scrubbed) VALUES (?, 0)"
                            : "INSERT INTO vault (key_id, scrubbed) VALUES (?, 1)");
    return rc < 0 ? explain_database(store, rc, error) : 0;
}

/* --- Changing the key ------------------------------------------------------------------------- */

/* A key that was given, or a new one that is on disk before anything is sealed with it. */
static int provide_key(const char *path, bool may_be_there, struct vault **out, char error[256])
{
    int rc = may_be_there ? vault_read(path, out) : -ENOENT;
    if (rc == -ENOENT) {
        *out = vault_new();
        rc = *out != NULL ? vault_write(*out, path) : -ENOMEM;
        if (rc < 0) {
            vault_free(*out);
            return explain(error, rc, "cannot write the new master key", path, strerror(-rc));
        }
    }
    return rc < 0 ? explain_key(error, rc, path) : 0;
}

/* Seals everything with the new key, which then is the store's. */
static int change_key(struct store *store, struct vault *vault, char error[256])
{
    struct resealing resealing = {.from = store->vault, .to = vault};
    int rc = seal_all(store, &resealing, "UPDATE vault SET key_id = ?, scrubbed = 0");
    if (rc < 0)
        return explain_database(store, rc, error);
    vault_free(store->vault);
    store->vault = vault;
    return 0;
}

int store_rotate_master_key(struct store *store, const char *new_key_file, char error[256])
{
    char beside[PATH_MAX];
    struct vault *vault;
    if (new_key_name(store, beside) < 0)
        return explain(error, -ENAMETOOLONG, "the master key", store->key_file, "too long a name");
    if (new_key_file != NULL && strcmp(new_key_file, beside) == 0)
        return explain(error, -EINVAL, "the new master key", beside,
                       "this name is used while a key is changed; choose another");
    const char *path = new_key_file != NULL ? new_key_file : beside;
    int rc = provide_key(path, new_key_file != NULL, &vault, error);
    if (rc < 0)
        return rc;
    if (memcmp(vault_id(vault), vault_id(store->vault), VAULT_ID_LEN) == 0)
        rc = explain(error, -EEXIST, "the new master key", path, "is the present one");
    else
        rc = change_key(store, vault, error);
    if (rc < 0) {
        vault_free(vault);
        return rc;
    }
    if (new_key_file == NULL)
        rc = private_file_rename(beside, store->key_file);
    /* The secrets are sealed with it by now; the next start finds it where it is. */
    if (rc < 0)
        log_warn("the new master key is in %s until the next start: %s", beside, strerror(-rc));
    scrub(store);
    return 0;
}

/* --- Opening ---------------------------------------------------------------------------------- */

int secrets_unlock(struct store *store, const char *directory, const char *key_file,
                   char error[256])
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/master.key", directory) >= (int)sizeof(path))
        return explain(error, -ENAMETOOLONG, "the data directory", directory,
                       strerror(ENAMETOOLONG));
    store->directory = strdup(directory);
    store->key_file = strdup(key_file != NULL ? key_file : path);
    if (store->directory == NULL || store->key_file == NULL)
        return explain(error, -ENOMEM, "the data directory", directory, "out of memory");
    struct state state = {0};
    int rc = read_state(store, &state);
    if (rc < 0)
        return explain_database(store, rc, error);
    rc = state.sealed ? unlock_sealed(store, &state, error)
                      : seal_first(store, key_file == NULL, error);
    if (rc == 0)
        rc = read_state(store, &state);
    if (rc == 0 && !state.scrubbed)
        scrub(store);
    return rc;
}

void secrets_lock(struct store *store)
{
    vault_free(store->vault);
    store->vault = NULL;
    free(store->directory);
    free(store->key_file);
}
