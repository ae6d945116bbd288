#include "store/migrations.h"

#include "tests/unit/store/store_world.h"

static void test_newer_schema_is_refused(void **state)
{
    (void)state;
    store_close(store);
    store = NULL;
    run_sql("PRAGMA user_version = 1000");
    char error[256] = "";
    assert_int_equal(store_open(directory, &store, error), -EPROTO);
    assert_non_null(strstr(error, "newer version"));
    assert_non_null(strstr(error, "1000"));
    /* Who had it open goes on, where a program that was about to take over has done that. */
    assert_int_equal(store_open_again(directory, NULL, -1, &store, error), 0);
    store_close(store);
    store = NULL;
    char sql[64];
    snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", store_migrations.count);
    run_sql(sql);
    open_store();
}

/* Migrates from the present schema to one with this step more. */
static int migrate(const char *sql)
{
    const char *history[64];
    assert_true(store_migrations.count < 64);
    for (int i = 0; i < store_migrations.count; i++)
        history[i] = store_migrations.sql[i];
    history[store_migrations.count] = sql;
    const struct store_migrations migrations = {.sql = history,
                                                .count = store_migrations.count + 1};
    return store_migrate(store, path_of("manytun.db"), &migrations);
}

static void test_migration_with_backup(void **state)
{
    (void)state;
    insert_tunnel("home");
    const char sql[] = "ALTER TABLE tunnels ADD COLUMN note TEXT";
    char backup[64];
    snprintf(backup, sizeof(backup), "manytun.db.v%d.backup", store_migrations.count);
    assert_int_equal(migrate(sql), 0);
    assert_int_equal(mode_of(backup), 0600);
    assert_int_not_equal(access(path_of("manytun.db.backup.partial"), F_OK), 0);
    run_sql("UPDATE tunnels SET note = 'x'");

    sqlite3 *db;
    assert_int_equal(sqlite3_open(path_of(backup), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "SELECT definition FROM tunnels", NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_not_equal(sqlite3_exec(db, "SELECT note FROM tunnels", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    /* Again: nothing to do. */
    assert_int_equal(migrate(sql), 0);
}

static void test_failed_migration_changes_nothing(void **state)
{
    (void)state;
    insert_tunnel("home");
    const char sql[] = "ALTER TABLE tunnels ADD COLUMN note TEXT; SELECT nonsense";
    assert_int_equal(migrate(sql), -EIO);
    reopen_store();
    assert_tunnels("home ");
    assert_int_equal(migrate(sql), -EIO); /* over the backup of the first attempt */
}

int main(void)
{
    log_set_level(LOG_LEVEL_OFF);
    const struct CMUnitTest tests[] = {
        store_test(test_newer_schema_is_refused),
        store_test(test_migration_with_backup),
        store_test(test_failed_migration_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
