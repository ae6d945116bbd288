/* Prepared statements: which are kept, and what is left of their last use. */
#include "store/database.h"
#include "tests/unit/store/store_world.h"

static void is_prepared_once(void **state)
{
    (void)state;
    sqlite3_stmt *first = store_prepare(store, "SELECT ? + 0");
    assert_non_null(first);
    store_finish(store, first);
    assert_ptr_equal(store_prepare(store, "SELECT ? + 0"), first);
    store_finish(store, first);
}

static void is_lent_to_one_at_a_time(void **state)
{
    (void)state;
    sqlite3_stmt *first = store_prepare(store, "SELECT ? + 0");
    sqlite3_stmt *second = store_prepare(store, "SELECT ? + 0");
    assert_ptr_not_equal(first, second);
    assert_true(store_bind_integer(first, 1, 1));
    assert_true(store_bind_integer(second, 1, 2));
    assert_int_equal(store_step(store, first), 1);
    assert_int_equal(store_step(store, second), 1);
    assert_int_equal(sqlite3_column_int(first, 0), 1);
    assert_int_equal(sqlite3_column_int(second, 0), 2);
    store_finish(store, first);
    store_finish(store, second);
}

/* Neither a row of before, nor a value, nor a lock on the database. */
static void nothing_is_left_of_its_last_use(void **state)
{
    (void)state;
    sqlite3_stmt *stmt = store_prepare(store, "SELECT ?, id FROM events");
    run_sql("INSERT INTO events (id, time, type, kind, name, reason, message, actor, generation)"
            " VALUES (1, 0, '', '', '', '', '', '', 0), (2, 0, '', '', '', '', '', '', 0)");
    assert_true(store_bind_text(stmt, 1, "before"));
    assert_int_equal(store_step(store, stmt), 1);
    assert_string_equal(store_column_text(stmt, 0), "before");
    store_finish(store, stmt);
    assert_int_equal(sqlite3_stmt_busy(stmt), 0);
    assert_ptr_equal(store_prepare(store, "SELECT ?, id FROM events"), stmt);
    assert_int_equal(store_step(store, stmt), 1);
    assert_null(store_column_text(stmt, 0));
    assert_int_equal(sqlite3_column_int(stmt, 1), 1);
    store_finish(store, stmt);
}

/* Those that do not fit in are prepared each time, and none stays when the store is closed. */
static void more_than_are_kept_work(void **state)
{
    (void)state;
    sqlite3_stmt *all[2 * STORE_STATEMENTS_MAX];
    char sql[32];
    for (int i = 0; i < 2 * STORE_STATEMENTS_MAX; i++) {
        snprintf(sql, sizeof(sql), "SELECT %d", i);
        all[i] = store_prepare(store, sql);
        assert_int_equal(store_step(store, all[i]), 1);
        assert_int_equal(sqlite3_column_int(all[i], 0), i);
    }
    for (int i = 0; i < 2 * STORE_STATEMENTS_MAX; i++)
        store_finish(store, all[i]);
    assert_null(store_prepare(store, "SELECT nothing FROM nowhere"));
    store_forget_statements(store);
    assert_null(sqlite3_next_stmt(store->db, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(is_prepared_once),
        store_test(is_lent_to_one_at_a_time),
        store_test(nothing_is_left_of_its_last_use),
        store_test(more_than_are_kept_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
