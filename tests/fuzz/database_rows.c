/*
 * A database in which somebody has written: cells of any table get any value, and rows go. The
 * store opens it or says in a sentence why not; everything is then loaded, and the service starts
 * with what can be read. Nothing that it makes of the rest is lost, either: what it has is listed,
 * or told of as unreadable.
 */
#include "tests/fuzz/fuzz.h"

#include "base/json.h"
#include "base/log.h"
#include "server/service.h"
#include "store/store.h"
#include "tests/support/folder.h"
#include "tests/unit/fake_supervisor.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#define CELLS_MAX   8
#define NAME_LEN    64
#define TABLES_MAX  32
#define COLUMNS_MAX 16

static char directory[64];
static struct event_base *base;
static uint8_t *pristine; /* the database's file, with a row in every table that is of interest */
static size_t pristine_len;

static struct table {
    char name[NAME_LEN];
    char columns[COLUMNS_MAX][NAME_LEN];
    unsigned columns_count;
} tables[TABLES_MAX];
static unsigned tables_count;

/* --- The database ----------------------------------------------------------------------------- */

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

static void remove_directory(void)
{
    folder_remove(directory);
}

static struct store *open_store(char error[256])
{
    struct store *store = NULL;
    error[0] = '\0';
    int rc = store_open(directory, &store, error);
    fuzz_check((rc == 0) == (store != NULL));
    fuzz_check(rc == 0 || error[0] != '\0');
    return store;
}

static const char tunnel_json[] =
    "{\"name\":\"home\",\"private_key\":\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\","
    "\"addresses\":[\"10.9.0.2/32\"],\"listen_address\":\"127.0.0.1\",\"peers\":[{"
    "\"public_key\":\"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\","
    "\"preshared_key\":\"AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=\","
    "\"endpoint\":\"192.0.2.1:51820\"}]}";
static const char forward_json[] =
    "{\"name\":\"web\",\"tunnel\":\"home\",\"target\":{\"host\":\"192.168.4.2\",\"port\":80}}";

static cJSON *read_json(const char *text)
{
    struct json_error error;
    cJSON *json = json_read(text, strlen(text), &error);
    fuzz_check(json);
    return json;
}

/* One of each. */
static void insert_objects(struct store *store)
{
    static struct spec_errors errors;
    struct store_tunnel tunnel = {.generation = 1};
    struct store_forward forward = {.generation = 1, .bound_port = 4321};
    const struct store_token token = {.name = "script", .role = STORE_ROLE_READ};
    const struct store_event event = {.type = "created",
                                      .kind = "tunnel",
                                      .name = "home",
                                      .reason = "",
                                      .message = "",
                                      .actor = ""};
    cJSON *tunnel_document = read_json(tunnel_json);
    cJSON *forward_document = read_json(forward_json);
    fuzz_check(spec_tunnel_from_json(tunnel_document, &tunnel.spec, &errors) == 0);
    fuzz_check(spec_forward_from_json(forward_document, &forward.spec, &errors) == 0);
    fuzz_check(store_insert_tunnel(store, &tunnel) == 0);
    fuzz_check(store_insert_forward(store, &forward) == 0);
    fuzz_check(store_insert_token(store, &token) == 0);
    fuzz_check(store_insert_event(store, &event, 0, 100) == 0);
    spec_tunnel_fini(&tunnel.spec);
    json_free(tunnel_document);
    json_free(forward_document);
}

static void read_schema(void)
{
    sqlite3 *db;
    sqlite3_stmt *stmt;
    fuzz_check(sqlite3_open(path_of("manytun.db"), &db) == SQLITE_OK);
    fuzz_check(sqlite3_prepare_v2(db,
                                  "SELECT m.name, c.name FROM sqlite_master m,"
                                  " pragma_table_info(m.name) c WHERE m.type = 'table'"
                                  " ORDER BY m.name, c.cid",
                                  -1, &stmt, NULL) == SQLITE_OK);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(stmt, 0);
        struct table *table = tables_count ? &tables[tables_count - 1] : NULL;
        if (!table || strcmp(table->name, name) != 0) {
            fuzz_check(tables_count < TABLES_MAX);
            table = &tables[tables_count++];
            snprintf(table->name, NAME_LEN, "%s", name);
        }
        fuzz_check(table->columns_count < COLUMNS_MAX);
        snprintf(table->columns[table->columns_count++], NAME_LEN, "%s",
                 (const char *)sqlite3_column_text(stmt, 1));
    }
    sqlite3_finalize(stmt);
    /* All in one file, which is then copied. */
    fuzz_check(sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL) == SQLITE_OK);
    fuzz_check(sqlite3_close(db) == SQLITE_OK);
}

static void make_pristine(void)
{
    char error[256];
    strcpy(directory, "/dev/shm/fuzz-rows-XXXXXX");
    if (!mkdtemp(directory)) {
        strcpy(directory, "/tmp/fuzz-rows-XXXXXX");
        fuzz_check(mkdtemp(directory));
    }
    atexit(remove_directory);
    log_set_level(LOG_LEVEL_OFF);
    base = event_base_new();
    struct store *store = open_store(error);
    fuzz_check(store);
    insert_objects(store);
    store_close(store);
    read_schema();
    struct stat st;
    int fd = open(path_of("manytun.db"), O_RDONLY | O_CLOEXEC);
    fuzz_check(fd >= 0 && fstat(fd, &st) == 0);
    pristine_len = (size_t)st.st_size;
    pristine = malloc(pristine_len);
    fuzz_check(pristine && read(fd, pristine, pristine_len) == (ssize_t)pristine_len);
    close(fd);
}

static void restore_pristine(void)
{
    unlink(path_of("manytun.db-wal"));
    unlink(path_of("manytun.db-shm"));
    int fd = open(path_of("manytun.db"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    fuzz_check(fd >= 0 && write(fd, pristine, pristine_len) == (ssize_t)pristine_len);
    close(fd);
}

/* --- Somebody's hand in it -------------------------------------------------------------------- */

/* The next value of the input, of any of SQLite's types. */
static void bind_value(sqlite3_stmt *stmt, struct fuzz_input *input)
{
    static char bytes[256];
    switch (fuzz_byte(input) % 6u) {
    case 0:
        sqlite3_bind_null(stmt, 1);
        break;
    case 1:
        sqlite3_bind_int64(stmt, 1, (int8_t)fuzz_byte(input));
        break;
    case 2:
        sqlite3_bind_int64(stmt, 1, (int64_t)fuzz_u64(input));
        break;
    case 3:
        sqlite3_bind_double(stmt, 1, (double)(int64_t)fuzz_u64(input) / 1000);
        break;
    case 4: {
        size_t len = fuzz_bytes(input, bytes, fuzz_byte(input));
        sqlite3_bind_text(stmt, 1, bytes, (int)len, SQLITE_STATIC);
        break;
    }
    default: {
        size_t len = fuzz_bytes(input, bytes, fuzz_byte(input));
        sqlite3_bind_blob(stmt, 1, bytes, (int)len, SQLITE_STATIC);
    }
    }
}

/* What a constraint refuses is not done. */
static void write_cell(sqlite3 *db, struct fuzz_input *input)
{
    const struct table *table = &tables[fuzz_byte(input) % tables_count];
    const unsigned column = fuzz_byte(input) % (table->columns_count + 1);
    char sql[256];
    sqlite3_stmt *stmt;
    if (column == table->columns_count)
        snprintf(sql, sizeof(sql), "DELETE FROM \"%s\"", table->name);
    else
        snprintf(sql, sizeof(sql), "UPDATE OR IGNORE \"%s\" SET \"%s\" = ?", table->name,
                 table->columns[column]);
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
        return;
    if (column < table->columns_count)
        bind_value(stmt, input);
    sqlite3_step(stmt);
    sqlite3_finalize(stmt);
}

static void write_cells(struct fuzz_input *input)
{
    sqlite3 *db;
    fuzz_check(sqlite3_open(path_of("manytun.db"), &db) == SQLITE_OK);
    sqlite3_exec(db, "PRAGMA ignore_check_constraints = ON; PRAGMA synchronous = OFF", NULL, NULL,
                 NULL);
    for (int i = 0; i < CELLS_MAX && input->left > 0; i++)
        write_cell(db, input);
    fuzz_check(sqlite3_close(db) == SQLITE_OK);
}

/* --- What the program makes of it ------------------------------------------------------------- */

struct seen {
    size_t tunnels, forwards, unreadable;
};

static int see_tunnel(void *ctx, struct store_tunnel *tunnel)
{
    ((struct seen *)ctx)->tunnels++;
    fuzz_check(spec_name_valid(tunnel->spec.name));
    return 0;
}

static int see_forward(void *ctx, struct store_forward *forward)
{
    ((struct seen *)ctx)->forwards++;
    fuzz_check(spec_name_valid(forward->spec.name) && spec_name_valid(forward->spec.tunnel));
    return 0;
}

static void see_unreadable(void *ctx, const struct store_unreadable *row)
{
    ((struct seen *)ctx)->unreadable++;
    fuzz_check(row->name && row->tunnel && row->reason && row->reason[0] != '\0');
    fuzz_check(row->generation >= 1);
}

static int see_token(void *ctx, const struct store_token *token)
{
    (void)ctx;
    fuzz_check(spec_name_valid(token->name));
    fuzz_check(token->role == STORE_ROLE_READ || token->role == STORE_ROLE_ADMIN);
    return 0;
}

static int see_event(void *ctx, const struct store_event *event)
{
    (void)ctx;
    fuzz_check(event->type && event->kind && event->name && event->message && event->actor);
    return 0;
}

static void load_everything(struct store *store)
{
    struct seen seen = {0};
    struct problem problem = {0};
    struct service *service;
    uint64_t first, last;
    store_load_tunnels(store, see_tunnel, see_unreadable, &seen);
    store_load_forwards(store, see_forward, see_unreadable, &seen);
    store_load_tokens(store, see_token, NULL);
    store_event_span(store, &first, &last);
    store_load_events(store, 0, see_event, NULL);
    fuzz_check(seen.tunnels <= 1 && seen.forwards <= 1 && seen.unreadable <= 2);
    fuzz_check(service_new(base, NULL, store, &service) == 0);
    if (service_restore(service, &problem) < 0)
        fuzz_check(problem.status >= 400 && problem.detail[0] != '\0');
    else
        fuzz_check(fake.tunnels <= seen.tunnels && fake.forwards <= seen.forwards);
    event_base_loop(base, EVLOOP_NONBLOCK);
    service_free(service);
    fake_worker_catch_up();
    fuzz_check(fake.tunnels == 0 && fake.forwards == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    char error[256];
    if (!pristine)
        make_pristine();
    restore_pristine();
    write_cells(&input);
    struct store *store = open_store(error);
    if (store) {
        load_everything(store);
        store_close(store);
    }
    return 0;
}
