/*
 * migrations: the schema's history, and the way along it.
 */
#include "store/migrations.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const history[] = {
    /*
     * Secrets are in tables of their own, never in a definition. Times are Unix nanoseconds.
     * A definition can have a megabyte: its table has rowids, so that a search for a name, each
     * foreign key's too, goes through an index of names and not through the definitions.
     */
    "CREATE TABLE tunnels ("
    "  name TEXT NOT NULL PRIMARY KEY,"
    "  definition TEXT NOT NULL,"
    "  generation INTEGER NOT NULL,"
    "  created_at INTEGER NOT NULL"
    ");"
    "CREATE TABLE tunnel_secrets ("
    "  tunnel TEXT NOT NULL PRIMARY KEY REFERENCES tunnels (name) ON DELETE CASCADE,"
    "  private_key BLOB NOT NULL"
    ") WITHOUT ROWID;"
    "CREATE TABLE peer_secrets ("
    "  tunnel TEXT NOT NULL REFERENCES tunnels (name) ON DELETE CASCADE,"
    "  peer TEXT NOT NULL,"
    "  preshared_key BLOB NOT NULL,"
    "  PRIMARY KEY (tunnel, peer)"
    ") WITHOUT ROWID;"
    "CREATE TABLE forwards ("
    "  name TEXT NOT NULL PRIMARY KEY,"
    "  tunnel TEXT NOT NULL REFERENCES tunnels (name) ON DELETE CASCADE,"
    "  definition TEXT NOT NULL,"
    "  generation INTEGER NOT NULL,"
    "  created_at INTEGER NOT NULL,"
    "  bound_port INTEGER NOT NULL"
    ");"
    "CREATE INDEX forwards_by_tunnel ON forwards (tunnel);"
    "CREATE TABLE tokens ("
    "  name TEXT NOT NULL PRIMARY KEY,"
    "  role INTEGER NOT NULL,"
    "  hash BLOB NOT NULL,"
    "  created_at INTEGER NOT NULL"
    ") WITHOUT ROWID;",

    /*
     * Who defines an object (enum spec_source), and how often the definitions have changed, which
     * is counted where nobody can forget it. A bound port is no definition.
     */
    "ALTER TABLE tunnels ADD COLUMN source INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE forwards ADD COLUMN source INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE definitions (generation INTEGER NOT NULL);"
    "INSERT INTO definitions VALUES (1);"
    "CREATE TRIGGER tunnel_inserted AFTER INSERT ON tunnels"
    " BEGIN UPDATE definitions SET generation = generation + 1; END;"
    "CREATE TRIGGER tunnel_updated AFTER UPDATE OF generation ON tunnels"
    " BEGIN UPDATE definitions SET generation = generation + 1; END;"
    "CREATE TRIGGER tunnel_deleted AFTER DELETE ON tunnels"
    " BEGIN UPDATE definitions SET generation = generation + 1; END;"
    "CREATE TRIGGER forward_inserted AFTER INSERT ON forwards"
    " BEGIN UPDATE definitions SET generation = generation + 1; END;"
    "CREATE TRIGGER forward_updated AFTER UPDATE OF generation ON forwards"
    " BEGIN UPDATE definitions SET generation = generation + 1; END;"
    "CREATE TRIGGER forward_deleted AFTER DELETE ON forwards"
    " BEGIN UPDATE definitions SET generation = generation + 1; END;",

    /* A ring: the smallest ids go as new ones come. Texts are empty where there is none. */
    "CREATE TABLE events ("
    "  id INTEGER NOT NULL PRIMARY KEY,"
    "  time INTEGER NOT NULL,"
    "  type TEXT NOT NULL,"
    "  kind TEXT NOT NULL,"
    "  name TEXT NOT NULL,"
    "  reason TEXT NOT NULL,"
    "  message TEXT NOT NULL,"
    "  actor TEXT NOT NULL,"
    "  generation INTEGER NOT NULL"
    ");",

    /* The highest generation of all that was deleted, counted likewise; a cascade fires it too. */
    "ALTER TABLE definitions ADD COLUMN deleted_generation INTEGER NOT NULL DEFAULT 0;"
    "CREATE TRIGGER tunnel_generation_deleted AFTER DELETE ON tunnels"
    " BEGIN UPDATE definitions SET deleted_generation ="
    " max(deleted_generation, OLD.generation); END;"
    "CREATE TRIGGER forward_generation_deleted AFTER DELETE ON forwards"
    " BEGIN UPDATE definitions SET deleted_generation ="
    " max(deleted_generation, OLD.generation); END;",

    /* When a token ends, in Unix nanoseconds; 0 = never. */
    "ALTER TABLE tokens ADD COLUMN expires_at INTEGER NOT NULL DEFAULT 0;",

    /*
     * Secrets are sealed with a master key (secrets.h), here named by its id; an empty one is
     * written by nobody: the row is from before, and in the clear until the database is unlocked.
     */
    "CREATE TABLE vault (key_id BLOB NOT NULL, scrubbed INTEGER NOT NULL);"
    "ALTER TABLE tunnel_secrets ADD COLUMN key_id BLOB NOT NULL DEFAULT x'';"
    "ALTER TABLE peer_secrets ADD COLUMN key_id BLOB NOT NULL DEFAULT x'';",

    /* What objects have counted in all. */
    "CREATE TABLE tunnel_totals ("
    "  tunnel TEXT NOT NULL PRIMARY KEY REFERENCES tunnels (name) ON DELETE CASCADE,"
    "  rx_bytes INTEGER NOT NULL,"
    "  tx_bytes INTEGER NOT NULL,"
    "  handshakes INTEGER NOT NULL"
    ") WITHOUT ROWID;"
    "CREATE TABLE forward_totals ("
    "  forward TEXT NOT NULL PRIMARY KEY REFERENCES forwards (name) ON DELETE CASCADE,"
    "  connections INTEGER NOT NULL,"
    "  connect_failures INTEGER NOT NULL,"
    "  bytes_in INTEGER NOT NULL,"
    "  bytes_out INTEGER NOT NULL"
    ") WITHOUT ROWID;",

    /* The same of peers, which are their keys: a name may be given to another one. */
    "CREATE TABLE peer_totals ("
    "  tunnel TEXT NOT NULL REFERENCES tunnels (name) ON DELETE CASCADE,"
    "  public_key BLOB NOT NULL,"
    "  rx_bytes INTEGER NOT NULL,"
    "  tx_bytes INTEGER NOT NULL,"
    "  handshakes INTEGER NOT NULL,"
    "  PRIMARY KEY (tunnel, public_key)"
    ") WITHOUT ROWID;",

    /*
     * Nanoseconds since 1970: what may have been the timestamp of an initiation before the last
     * start, and what none may pass since.
     */
    "CREATE TABLE tunnel_timestamps ("
    "  tunnel TEXT NOT NULL PRIMARY KEY REFERENCES tunnels (name) ON DELETE CASCADE,"
    "  sent_until INTEGER NOT NULL,"
    "  may_reach INTEGER NOT NULL"
    ") WITHOUT ROWID;",

    /*
     * Where peers were seen, the time of their last handshake (nanoseconds since 1970), and the
     * newest timestamp of their initiations (TAI64N); defined is the endpoint of the definition
     * then.
     */
    "CREATE TABLE peer_sightings ("
    "  tunnel TEXT NOT NULL REFERENCES tunnels (name) ON DELETE CASCADE,"
    "  public_key BLOB NOT NULL,"
    "  endpoint TEXT NOT NULL,"
    "  defined TEXT NOT NULL,"
    "  heard_at INTEGER NOT NULL,"
    "  timestamp BLOB NOT NULL,"
    "  PRIMARY KEY (tunnel, public_key)"
    ") WITHOUT ROWID;",
};

const struct store_migrations store_migrations = {
    .sql = history,
    .count = sizeof(history) / sizeof(history[0]),
};

static int read_version(struct store *store, int *out)
{
    sqlite3_stmt *stmt = store_prepare(store, "PRAGMA user_version");
    if (stmt == NULL)
        return store->failure;
    int rc = store_step(store, stmt);
    if (rc == 1)
        *out = sqlite3_column_int(stmt, 0);
    store_finish(store, stmt);
    return rc == 1 ? 0 : -EIO;
}

/* Makes an empty file that only its owner can read; SQLite then writes into it. */
static int make_private_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int rc = fchmod(fd, 0600) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

static int sync_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

static int copy_database(struct store *store, const char *path)
{
    sqlite3_stmt *stmt = store_prepare(store, "VACUUM INTO ?");
    if (stmt == NULL)
        return store->failure;
    int rc = store_bind_text(stmt, 1, path) ? store_run(store, stmt)
                                            : store_fail(store, "backing up the database");
    store_finish(store, stmt);
    return rc;
}

/* The copy appears under its name only when it is complete. */
static int back_up(struct store *store, const char *path, int version)
{
    char name[PATH_MAX];
    char partial[PATH_MAX];
    if (snprintf(name, sizeof(name), "%s.v%d.backup", path, version) >= (int)sizeof(name) ||
        snprintf(partial, sizeof(partial), "%s.backup.partial", path) >= (int)sizeof(partial))
        return -ENAMETOOLONG;
    int rc = make_private_file(partial);
    if (rc == 0) {
        rc = copy_database(store, partial);
        if (rc < 0)
            return rc;
    }
    if (rc == 0)
        rc = sync_file(partial);
    if (rc == 0 && rename(partial, name) < 0)
        rc = -errno;
    if (rc < 0) {
        snprintf(store->error, sizeof(store->error), "cannot write the backup %.150s: %s", name,
                 strerror(-rc));
        return rc;
    }
    log_info("the database was backed up to %s before its schema is changed", name);
    return 0;
}

static int apply(struct store *store, const char *sql, int version)
{
    char set_version[48];
    snprintf(set_version, sizeof(set_version), "PRAGMA user_version = %d", version);
    int rc = store_begin(store);
    if (rc < 0)
        return rc;
    rc = store_exec(store, sql);
    if (rc == 0)
        rc = store_exec(store, set_version);
    return store_end(store, rc);
}

int store_migrate(struct store *store, const char *path, const struct store_migrations *migrations)
{
    int version = 0;
    int rc = read_version(store, &version);
    if (rc < 0)
        return rc;
    if (version > migrations->count && store->opened_again) {
        log_warn("the database has schema %d, which a newer program has made (known up to %d)",
                 version, migrations->count);
        return 0;
    }
    if (version < 0 || version > migrations->count) {
        snprintf(store->error, sizeof(store->error),
                 "was written by a newer version of this program (schema %d, known up to %d): "
                 "start that version, or restore a backup",
                 version, migrations->count);
        return -EPROTO;
    }
    if (version > 0 && version < migrations->count)
        rc = back_up(store, path, version);
    for (; rc == 0 && version < migrations->count; version++)
        rc = apply(store, migrations->sql[version], version + 1);
    return rc;
}
