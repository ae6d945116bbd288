/*
 * Secrets at rest: what is in the files of a data directory, with which key it opens, and what a
 * crash while the key is changed leaves.
 */
#include "store/store.h"

#include "base/log.h"
#include "store/migrations.h"
#include "store/vault.h"
#include "tests/support/cmocka_all.h"
#include "tests/support/folder.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint8_t private_key[SPEC_KEY_LEN] = "a private key that nobody knows";
static const uint8_t preshared_key[SPEC_KEY_LEN] = "a preshared key, nobody's either";

static char directory[64];
static struct store *store;
static char error[256];

/* --- Fixture ---------------------------------------------------------------------------------- */

static const char *path_of(const char *name)
{
    static char paths[2][512];
    static int turn;
    char *path = paths[turn++ % 2];
    snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
    return path;
}

static void open_store(void)
{
    error[0] = '\0';
    if (store_open(directory, &store, error) < 0)
        fail_msg("%s", error);
}

static void close_store(void)
{
    store_close(store);
    store = NULL;
}

static void refuse_to_open(int rc, const char *part)
{
    error[0] = '\0';
    assert_int_equal(store_open(directory, &store, error), rc);
    if (strstr(error, part) == NULL)
        fail_msg("expected \"%s\" in: %s", part, error);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/secrets-test-XXXXXX");
    return mkdtemp(directory) != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    close_store();
    return folder_remove(directory);
}

static void run_sql(const char *sql)
{
    sqlite3 *db;
    char *message = NULL;
    assert_int_equal(sqlite3_open(path_of("manytun.db"), &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
    sqlite3_close(db);
}

static int ask_sql(const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_open(path_of("manytun.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int answer = sqlite3_column_int(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return answer;
}

static void write_file(const char *name, const void *data, size_t len)
{
    FILE *file = fopen(path_of(name), "w");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    fclose(file);
}

/* The contents, which the caller frees. */
static char *read_file(const char *path, size_t *len)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    struct stat st;
    assert_int_equal(fstat(fileno(file), &st), 0);
    char *data = malloc((size_t)st.st_size + 1);
    assert_non_null(data);
    *len = fread(data, 1, (size_t)st.st_size, file);
    fclose(file);
    return data;
}

static bool is_there(const char *name)
{
    return access(path_of(name), F_OK) == 0;
}

/* Whether any file of the directory holds these bytes. */
static bool any_file_holds(const void *bytes, size_t len)
{
    DIR *entries = opendir(directory);
    assert_non_null(entries);
    bool found = false;
    const struct dirent *entry;
    while ((entry = readdir(entries)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        size_t size;
        char *data = read_file(path_of(entry->d_name), &size);
        found = found || memmem(data, size, bytes, len) != NULL;
        free(data);
    }
    closedir(entries);
    return found;
}

/* As bytes, or as text, as JSON has it. Parts of them count, too. */
static void assert_no_secret_in_the_clear(void)
{
    const uint8_t *const secrets[] = {private_key, preshared_key};
    for (size_t i = 0; i < 2; i++) {
        char text[SPEC_KEY_TEXT];
        spec_key_print(secrets[i], text);
        assert_false(any_file_holds(secrets[i], 12));
        assert_false(any_file_holds(secrets[i] + 16, 12));
        assert_false(any_file_holds(text, 16));
    }
}

static void insert_tunnel(const char *name)
{
    struct store_tunnel tunnel = {.spec = {.mtu = 1400, .addresses_count = 1, .peers_count = 1},
                                  .generation = 1};
    struct spec_tunnel *spec = &tunnel.spec;
    snprintf(spec->name, sizeof(spec->name), "%s", name);
    memcpy(spec->private_key, private_key, SPEC_KEY_LEN);
    inet_prefix_parse("10.9.0.2/24", &spec->addresses[0]);
    spec->peers = calloc(1, sizeof(*spec->peers));
    assert_non_null(spec->peers);
    strcpy(spec->peers[0].name, "gw");
    memset(spec->peers[0].public_key, 0xb2, SPEC_KEY_LEN);
    spec->peers[0].has_preshared_key = true;
    memcpy(spec->peers[0].preshared_key, preshared_key, SPEC_KEY_LEN);
    int rc = store_insert_tunnel(store, &tunnel);
    spec_tunnel_fini(spec);
    if (rc < 0)
        fail_msg("%s", store_error(store));
}

static int see_tunnel(void *ctx, struct store_tunnel *tunnel)
{
    char *names = ctx;
    sprintf(names + strlen(names), "%s ", tunnel->spec.name);
    assert_memory_equal(tunnel->spec.private_key, private_key, SPEC_KEY_LEN);
    assert_memory_equal(tunnel->spec.peers[0].preshared_key, preshared_key, SPEC_KEY_LEN);
    return 0;
}

/* These can be read, and have their secrets. */
static void assert_tunnels(const char *expected)
{
    char names[256] = "";
    assert_int_equal(store_load_tunnels(store, see_tunnel, NULL, names), 0);
    assert_string_equal(names, expected);
}

/* --- What is on disk -------------------------------------------------------------------------- */

static void test_nothing_is_in_the_clear(void **state)
{
    (void)state;
    open_store();
    insert_tunnel("home");
    assert_no_secret_in_the_clear();
    close_store();
    assert_no_secret_in_the_clear();
    struct stat st;
    assert_int_equal(stat(path_of("master.key"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    open_store();
    assert_tunnels("home ");
    /* The master key is in its file only. */
    size_t len;
    char *key = read_file(path_of("master.key"), &len);
    assert_int_equal(unlink(path_of("master.key")), 0);
    assert_false(any_file_holds(key, 16));
    free(key);
}

static void hex(const uint8_t *bytes, char out[2 * SPEC_KEY_LEN + 1])
{
    sodium_bin2hex(out, 2 * SPEC_KEY_LEN + 1, bytes, SPEC_KEY_LEN);
}

/* A database of the first version, with one tunnel, and traces of others in free pages. */
static void make_old_database(void)
{
    static const char definition[] =
        "{\"name\":\"%s\",\"addresses\":[\"10.9.0.2/24\"],\"peers\":[{\"name\":\"gw\","
        "\"public_key\":\"srKysrKysrKysrKysrKysrKysrKysrKysrKysrKysrI=\"}]}";
    char private_hex[2 * SPEC_KEY_LEN + 1];
    char preshared_hex[2 * SPEC_KEY_LEN + 1];
    hex(private_key, private_hex);
    hex(preshared_key, preshared_hex);
    run_sql("PRAGMA journal_mode = WAL");
    run_sql(store_migrations.sql[0]);
    run_sql("PRAGMA user_version = 1");
    for (int i = 0; i < 100; i++) {
        char name[16];
        char json[256];
        char sql[1024];
        snprintf(name, sizeof(name), i == 0 ? "home" : "gone-%d", i);
        snprintf(json, sizeof(json), definition, name);
        snprintf(sql, sizeof(sql),
                 "INSERT INTO tunnels VALUES ('%s', '%s', 1, 0);"
                 "INSERT INTO tunnel_secrets VALUES ('%s', x'%s');"
                 "INSERT INTO peer_secrets VALUES ('%s', 'gw', x'%s');",
                 name, json, name, private_hex, name, preshared_hex);
        run_sql(sql);
    }
    run_sql("PRAGMA secure_delete = OFF; DELETE FROM tunnels WHERE name <> 'home';"
            "DELETE FROM tunnel_secrets WHERE tunnel <> 'home';"
            "DELETE FROM peer_secrets WHERE tunnel <> 'home'");
}

static void test_old_database_is_sealed(void **state)
{
    (void)state;
    make_old_database();
    write_file("manytun.db.v0.backup", private_key, sizeof(private_key));
    assert_true(any_file_holds(private_key, sizeof(private_key)));
    open_store();
    assert_tunnels("home ");
    assert_no_secret_in_the_clear();
    assert_false(is_there("manytun.db.v0.backup"));
    assert_false(is_there("manytun.db.v1.backup"));
    assert_int_equal(ask_sql("SELECT count(*) FROM tunnel_secrets WHERE key_id = x''"), 0);
    close_store();
    assert_no_secret_in_the_clear();
    open_store();
    assert_tunnels("home ");
}

/* A start that was killed between sealing and scrubbing is followed by one that scrubs. */
static void test_scrubbing_is_made_up_for(void **state)
{
    (void)state;
    open_store();
    insert_tunnel("home");
    close_store();
    run_sql("UPDATE vault SET scrubbed = 0");
    write_file("manytun.db.v3.backup", private_key, sizeof(private_key));
    write_file("manytun.db.backup.partial", private_key, sizeof(private_key));
    write_file("notes.backup", "mine", 4);
    open_store();
    assert_no_secret_in_the_clear();
    assert_true(is_there("notes.backup"));
    assert_int_equal(ask_sql("SELECT scrubbed FROM vault"), 1);
    close_store();
    /* A later backup stays. */
    write_file("manytun.db.v4.backup", "sealed", 6);
    open_store();
    assert_true(is_there("manytun.db.v4.backup"));
}

/* --- The key ---------------------------------------------------------------------------------- */

static void test_without_its_key_it_does_not_open(void **state)
{
    (void)state;
    open_store();
    insert_tunnel("home");
    close_store();
    assert_int_equal(rename(path_of("master.key"), path_of("elsewhere")), 0);
    refuse_to_open(-ENOENT, "is gone");
    assert_non_null(strstr(error, path_of("master.key")));
    assert_false(is_there("master.key"));
    assert_int_equal(store_open_with_key(directory, path_of("elsewhere"), &store, error), 0);
    assert_tunnels("home ");
}

static void test_with_another_key_it_does_not_open(void **state)
{
    (void)state;
    open_store();
    insert_tunnel("home");
    close_store();
    assert_int_equal(rename(path_of("master.key"), path_of("right")), 0);
    struct vault *other = vault_new();
    assert_non_null(other);
    assert_int_equal(vault_write(other, path_of("master.key")), 0);
    vault_free(other);
    refuse_to_open(-EKEYREJECTED, "is not the one");
    write_file("master.key", "nonsense\n", 9);
    refuse_to_open(-EINVAL, "base64");
    assert_int_equal(rename(path_of("right"), path_of("master.key")), 0);
    open_store();
    assert_tunnels("home ");
}

static void test_named_key_is_never_made(void **state)
{
    (void)state;
    assert_int_equal(store_open_with_key(directory, path_of("named"), &store, error), -ENOENT);
    assert_non_null(strstr(error, "no such file"));
    assert_false(is_there("named"));
    assert_false(is_there("master.key"));
    struct vault *vault = vault_new();
    assert_non_null(vault);
    assert_int_equal(vault_write(vault, path_of("named")), 0);
    vault_free(vault);
    assert_int_equal(store_open_with_key(directory, path_of("named"), &store, error), 0);
    insert_tunnel("home");
    assert_tunnels("home ");
    assert_false(is_there("master.key"));
}

/* Secrets that say that they are sealed, in a database that says of no key, get no new one. */
static void test_forgotten_key_is_damage(void **state)
{
    (void)state;
    open_store();
    insert_tunnel("home");
    close_store();
    run_sql("DELETE FROM vault");
    assert_int_equal(unlink(path_of("master.key")), 0);
    refuse_to_open(-EIO, "not told any more");
    assert_false(is_there("master.key"));
}

/* A start that was killed after the key was made, and before the database knew of it. */
static void test_key_of_an_unfinished_start(void **state)
{
    (void)state;
    struct vault *vault = vault_new();
    assert_non_null(vault);
    assert_int_equal(vault_write(vault, path_of("master.key")), 0);
    vault_free(vault);
    make_old_database();
    size_t len;
    char *before = read_file(path_of("master.key"), &len);
    open_store();
    assert_tunnels("home ");
    char *after = read_file(path_of("master.key"), &len);
    assert_memory_equal(before, after, len);
    free(before);
    free(after);
}

/* --- Rows ------------------------------------------------------------------------------------- */

static void test_changed_rows_are_passed_over(void **state)
{
    (void)state;
    static const char *const damages[] = {
        "UPDATE tunnel_secrets SET private_key ="
        " (SELECT private_key FROM tunnel_secrets WHERE tunnel = 'a') WHERE tunnel = 'b'",
        "UPDATE peer_secrets SET preshared_key ="
        " (SELECT preshared_key FROM peer_secrets WHERE tunnel = 'a') WHERE tunnel = 'b'",
        "UPDATE tunnel_secrets SET private_key ="
        " (SELECT preshared_key FROM peer_secrets WHERE tunnel = 'b') WHERE tunnel = 'b'",
        "UPDATE tunnel_secrets SET private_key = zeroblob(72) WHERE tunnel = 'b'",
        "UPDATE tunnel_secrets SET private_key = zeroblob(32) WHERE tunnel = 'b'",
        "UPDATE tunnel_secrets SET private_key = private_key || x'00' WHERE tunnel = 'b'",
        "UPDATE peer_secrets SET preshared_key = x'' WHERE tunnel = 'b'",
        "UPDATE peer_secrets SET peer = 'other' WHERE tunnel = 'b'",
    };
    open_store();
    insert_tunnel("a");
    insert_tunnel("c");
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        insert_tunnel("b");
        assert_tunnels("a b c ");
        run_sql(damages[i]);
        assert_tunnels("a c ");
        assert_int_equal(store_delete_tunnel(store, "b"), 0);
    }
}

/* --- Changing the key ------------------------------------------------------------------------- */

static char *read_key(const char *name)
{
    size_t len;
    char *text = read_file(path_of(name), &len);
    assert_int_equal(len, SPEC_KEY_TEXT);
    return text;
}

static void write_key(const char *name, const char *text)
{
    write_file(name, text, SPEC_KEY_TEXT);
}

static void rotate(const char *new_key_file)
{
    if (store_rotate_master_key(store, new_key_file, error) < 0)
        fail_msg("%s", error);
}

/* What the old key sealed, to be found nowhere after. */
static void read_sealed(uint8_t out[VAULT_SEALED_LEN])
{
    sqlite3 *db;
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_open(path_of("manytun.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT private_key FROM tunnel_secrets", -1, &stmt,
                                        NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_int_equal(sqlite3_column_bytes(stmt, 0), VAULT_SEALED_LEN);
    memcpy(out, sqlite3_column_blob(stmt, 0), VAULT_SEALED_LEN);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
}

static void test_rotation_in_place(void **state)
{
    (void)state;
    uint8_t sealed[VAULT_SEALED_LEN];
    open_store();
    insert_tunnel("home");
    char *before = read_key("master.key");
    read_sealed(sealed);
    write_file("manytun.db.v3.backup", sealed, sizeof(sealed));
    rotate(NULL);
    assert_tunnels("home ");
    insert_tunnel("work");
    assert_false(any_file_holds(sealed, sizeof(sealed)));
    assert_false(is_there("master.key.new"));
    close_store();
    char *after = read_key("master.key");
    assert_memory_not_equal(before, after, SPEC_KEY_TEXT);
    open_store();
    assert_tunnels("home work ");
    close_store();
    write_key("master.key", before);
    refuse_to_open(-EKEYREJECTED, "is not the one");
    free(before);
    free(after);
}

static void test_rotation_to_another_file(void **state)
{
    (void)state;
    open_store();
    insert_tunnel("home");
    char *before = read_key("master.key");
    rotate(path_of("made")); /* is made */
    close_store();
    assert_int_equal(store_open_with_key(directory, path_of("made"), &store, error), 0);
    assert_tunnels("home ");
    write_key("given", before);
    rotate(path_of("given")); /* is there */
    close_store();
    open_store(); /* the first key's file was left alone */
    assert_tunnels("home ");
    free(before);
}

static void test_rotation_that_is_refused(void **state)
{
    (void)state;
    open_store();
    insert_tunnel("home");
    char *present = read_key("master.key");
    write_key("copy", present);
    assert_int_equal(store_rotate_master_key(store, path_of("copy"), error), -EEXIST);
    assert_int_equal(store_rotate_master_key(store, path_of("master.key.new"), error), -EINVAL);
    write_file("bad", "x\n", 2);
    assert_int_equal(store_rotate_master_key(store, path_of("bad"), error), -EINVAL);
    assert_int_equal(store_rotate_master_key(store, "/nonexistent/key", error), -ENOENT);
    assert_non_null(strstr(error, "/nonexistent/key"));
    /* What cannot be read cannot be sealed again: all stays, and the tunnel is named. */
    run_sql("UPDATE peer_secrets SET preshared_key = zeroblob(72)");
    assert_int_equal(store_rotate_master_key(store, NULL, error), -EIO);
    assert_non_null(strstr(error, "\"home\""));
    assert_int_equal(store_delete_tunnel(store, "home"), 0);
    insert_tunnel("work");
    close_store();
    open_store();
    assert_tunnels("work ");
    char *after = read_key("master.key");
    assert_memory_equal(present, after, SPEC_KEY_TEXT);
    assert_false(is_there("master.key.new"));
    free(present);
    free(after);
}

/* The new key was written, and nothing was sealed with it yet. */
static void test_crash_before_the_transaction(void **state)
{
    (void)state;
    open_store();
    insert_tunnel("home");
    close_store();
    struct vault *vault = vault_new();
    assert_non_null(vault);
    assert_int_equal(vault_write(vault, path_of("master.key.new")), 0);
    vault_free(vault);
    open_store();
    assert_tunnels("home ");
    assert_false(is_there("master.key.new"));
}

/* Everything is sealed with the new key, which is not in its place yet. */
static void test_crash_after_the_transaction(void **state)
{
    (void)state;
    for (int old_is_there = 0; old_is_there < 2; old_is_there++) {
        open_store();
        if (old_is_there == 0)
            insert_tunnel("home");
        char *before = read_key("master.key");
        rotate(NULL);
        close_store();
        char *after = read_key("master.key");
        assert_int_equal(rename(path_of("master.key"), path_of("master.key.new")), 0);
        if (old_is_there)
            write_key("master.key", before);
        open_store();
        assert_tunnels("home ");
        assert_false(is_there("master.key.new"));
        char *now = read_key("master.key");
        assert_memory_equal(now, after, SPEC_KEY_TEXT);
        close_store();
        free(before);
        free(after);
        free(now);
    }
}

/* Rotates until its timer kills it. */
static void rotate_until_killed(unsigned microseconds)
{
    const struct itimerval timer = {.it_value = {.tv_usec = (suseconds_t)microseconds}};
    setitimer(ITIMER_REAL, &timer, NULL);
    if (store_open(directory, &store, error) < 0)
        _exit(1);
    while (store_rotate_master_key(store, NULL, error) == 0)
        continue;
    _exit(1);
}

static void test_killed_at_any_moment(void **state)
{
    (void)state;
    enum { ROUNDS = 60 };
    open_store();
    insert_tunnel("a");
    insert_tunnel("b");
    close_store();
    for (int round = 0; round < ROUNDS; round++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            rotate_until_killed(500 + randombytes_uniform(30000));
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM);
        open_store();
        assert_tunnels("a b ");
        assert_false(is_there("master.key.new"));
        assert_int_equal(ask_sql("SELECT count(DISTINCT key_id) FROM (SELECT key_id FROM vault"
                                 " UNION SELECT key_id FROM tunnel_secrets"
                                 " UNION SELECT key_id FROM peer_secrets)"),
                         1);
        assert_int_equal(ask_sql("SELECT scrubbed FROM vault"), 1);
        close_store();
    }
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    log_set_level(LOG_LEVEL_OFF);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_is_in_the_clear),
        TEST(test_old_database_is_sealed),
        TEST(test_scrubbing_is_made_up_for),
        TEST(test_without_its_key_it_does_not_open),
        TEST(test_with_another_key_it_does_not_open),
        TEST(test_named_key_is_never_made),
        TEST(test_forgotten_key_is_damage),
        TEST(test_key_of_an_unfinished_start),
        TEST(test_changed_rows_are_passed_over),
        TEST(test_rotation_in_place),
        TEST(test_rotation_to_another_file),
        TEST(test_rotation_that_is_refused),
        TEST(test_crash_before_the_transaction),
        TEST(test_crash_after_the_transaction),
        TEST(test_killed_at_any_moment),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
