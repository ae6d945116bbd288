/*
 * A whole desired state against a service: every kind of difference, and every way to fail.
 */
#include "server/apply.h"

#include "base/json.h"
#include "tests/unit/server/service_world.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>

#define KEY "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="

#define TUNNEL(name, more)                                                                         \
    "{\"name\":\"" name "\",\"private_key\":\"" KEY                                                \
    "\",\"addresses\":[\"10.9.0.2/32\"],\"listen_address\":\"127.0.0.1\"" more "}"
#define FORWARD(name, more)                                                                        \
    "{\"name\":\"" name "\",\"tunnel\":\"home\","                                                  \
    "\"target\":{\"host\":\"10.0.0.1\",\"port\":80}" more "}"
#define LISTEN ",\"listen\":{\"port\":%u}"

/* --- Helpers ---------------------------------------------------------------------------------- */

static struct apply_result result;
static struct problem problem;

static const struct apply_options api_keeps = {.source = SPEC_SOURCE_API};
static const struct apply_options api_prunes = {.source = SPEC_SOURCE_API, .prune = true};
static const struct apply_options rehearsal = {.source = SPEC_SOURCE_API,
                                               .prune = true,
                                               .dry_run = true};
static const struct apply_options file = {.source = SPEC_SOURCE_FILE, .prune = true};

/* Applies the document; what became of it is in result or problem. */
static int apply(const struct apply_options *options, const char *text)
{
    struct json_error error;
    struct config config = {0};
    cJSON *json = json_read(text, strlen(text), &error);
    if (json == NULL)
        fail_msg("at %zu: %s", error.offset, error.detail);
    apply_result_fini(&result);
    problem = (struct problem){0};
    int rc = config_read(&config, json, &(struct config_source){0}, &problem.errors);
    if (rc == 0)
        rc = service_apply(fx.service, &config, options, &result, &problem);
    json_free(json);
    config_fini(&config);
    return rc;
}

static int apply_document(const struct apply_options *options, const char *tunnels,
                          const char *forwards)
{
    char text[4096];
    snprintf(text, sizeof(text), "{\"tunnels\":[%s],\"forwards\":[%s]}", tunnels, forwards);
    return apply(options, text);
}

static void apply_well(const struct apply_options *options, const char *tunnels,
                       const char *forwards)
{
    if (apply_document(options, tunnels, forwards) < 0)
        fail_msg("%s: %s %s", problem.code != NULL ? problem.code : "read", problem.detail,
                 problem.errors.count > 0 ? problem.errors.items[0].detail : "");
}

/* "+home -web ~ssh =dns": what was done, in its order. */
static void assert_outcome(const char *wanted)
{
    static const char signs[] = {[APPLY_CREATED] = '+',
                                 [APPLY_UPDATED] = '~',
                                 [APPLY_UNCHANGED] = '=',
                                 [APPLY_DELETED] = '-'};
    char text[1024] = "";
    size_t used = 0;
    for (size_t i = 0; i < result.count; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%c%s", i > 0 ? " " : "",
                                 signs[result.items[i].outcome], result.items[i].name);
    assert_string_equal(text, wanted);
}

/* Everything that can be seen of the service, its sockets, the store and the workers. */
struct view {
    char text[8192];
    uint64_t generation;
    uint64_t last_event;
    size_t tunnels, forwards, told, updates;
};

static void look(struct view *view)
{
    size_t used = 0;
    const struct service_tunnel *tunnel = service_next_tunnel(fx.service, "");
    for (; tunnel != NULL; tunnel = service_next_tunnel(fx.service, tunnel->spec.name))
        used += (size_t)snprintf(view->text + used, sizeof(view->text) - used,
                                 "%s %llu %d %u %zu %p\n", tunnel->spec.name,
                                 (unsigned long long)tunnel->generation, tunnel->sockets[0],
                                 tunnel->port, tunnel->forwards, (void *)tunnel->supervised);
    const struct service_forward *forward = service_next_forward(fx.service, "");
    for (; forward != NULL; forward = service_next_forward(fx.service, forward->spec.name))
        used +=
            (size_t)snprintf(view->text + used, sizeof(view->text) - used, "%s %llu %d %u %u %p\n",
                             forward->spec.name, (unsigned long long)forward->generation,
                             forward->listener, forward->bound_port, forward->spec.target_port,
                             (void *)forward->supervised);
    assert_int_equal(service_definitions_generation(fx.service, &view->generation), 0);
    uint64_t first_event;
    assert_int_equal(store_event_span(fx.store, &first_event, &view->last_event), 0);
    view->tunnels = fake.tunnels;
    view->forwards = fake.forwards;
    view->told = fake.told;
    view->updates = fake.updates;
}

static size_t count_descriptors(void)
{
    size_t count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void assert_same(const struct view *before)
{
    struct view now = {0};
    look(&now);
    assert_string_equal(now.text, before->text);
    assert_int_equal(now.generation, before->generation);
    assert_int_equal(now.last_event, before->last_event);
    assert_int_equal(now.tunnels, before->tunnels);
    assert_int_equal(now.forwards, before->forwards);
    assert_int_equal(now.told, before->told);
    assert_int_equal(now.updates, before->updates);
    assert_int_equal(fake.prepared, 0);
}

/* The document is refused with this problem, and nothing is another than before. */
static void refuse(const struct apply_options *options, const char *tunnels, const char *forwards,
                   const char *code, const char *pointer)
{
    struct view before = {0};
    fake_worker_catch_up();
    look(&before);
    size_t descriptors = count_descriptors();
    assert_int_equal(apply_document(options, tunnels, forwards), -1);
    assert_string_equal(problem.code, code);
    if (pointer != NULL)
        assert_string_equal(problem.errors.items[0].pointer, pointer);
    assert_same(&before);
    fake_worker_catch_up();
    assert_int_equal(count_descriptors(), descriptors);
}

static const struct service_forward *forward_of(const char *name)
{
    const struct service_forward *forward = service_find_forward(fx.service, name);
    assert_non_null(forward);
    return forward;
}

static uint16_t free_port(void)
{
    uint16_t port = 0;
    sockets_close_listener(take_port(&port));
    return port;
}

/* Forwards with their ports: "a" and "b". */
static const char *two_forwards(uint16_t a, uint16_t b)
{
    static char text[400];
    snprintf(text, sizeof(text), FORWARD("a", LISTEN) "," FORWARD("b", LISTEN), a, b);
    return text;
}

static int tear_down_all(void **state)
{
    apply_result_fini(&result);
    return tear_down(state);
}

/* --- What is done ----------------------------------------------------------------------------- */

static void test_every_kind_of_difference(void **state)
{
    (void)state;
    apply_well(&api_keeps, TUNNEL("home", "") "," TUNNEL("work", ""),
               FORWARD("a", "") "," FORWARD("b", "") "," FORWARD("c", ""));
    assert_outcome("+home +work +a +b +c");
    struct view before = {0};
    look(&before);
    int listener = forward_of("b")->listener;

    apply_well(&api_keeps, TUNNEL("home", "") "," TUNNEL("work", ""),
               FORWARD("a", "") "," FORWARD("b", "") "," FORWARD("c", ""));
    assert_outcome("=home =work =a =b =c");
    assert_same(&before);

    apply_well(
        &api_prunes, TUNNEL("home", "") "," TUNNEL("new", ",\"mtu\":1400"),
        FORWARD("a", "") "," FORWARD(
            "b", ",\"enabled\":true,\"idle_timeout_seconds\":9") "," FORWARD("d",
                                                                             ",\"enabled\":false"));
    assert_outcome("=home +new =a ~b +d -work -c");
    assert_int_equal(forward_of("b")->listener, listener);
    assert_int_equal(forward_of("b")->generation, 2);
    assert_int_equal(forward_of("a")->generation, 1);
    assert_int_equal(fake.updates, before.updates + 1);
    assert_null(service_find_forward(fx.service, "c"));
    assert_null(service_find_tunnel(fx.service, "work"));
    assert_int_equal(service_find_tunnel(fx.service, "home")->forwards, 3);

    /* It is the same after a restart. */
    uint64_t generation, again;
    assert_int_equal(service_definitions_generation(fx.service, &generation), 0);
    stop();
    start();
    assert_int_equal(service_definitions_generation(fx.service, &again), 0);
    assert_int_equal(again, generation);
    assert_int_equal(forward_of("b")->spec.idle_timeout_seconds, 9);
    assert_null(service_find_forward(fx.service, "c"));
}

static void test_without_prune_nothing_is_deleted(void **state)
{
    (void)state;
    apply_well(&api_keeps, TUNNEL("home", ""), FORWARD("a", ""));
    struct view before = {0};
    look(&before);
    apply_well(&api_keeps, "", "");
    assert_outcome("");
    assert_same(&before);
    apply_well(&api_prunes, "", "");
    assert_outcome("-home -a");
    assert_null(service_find_tunnel(fx.service, "home"));
}

static void test_rehearsal_changes_nothing(void **state)
{
    (void)state;
    apply_well(&api_keeps, TUNNEL("home", "") "," TUNNEL("work", ""), FORWARD("a", ""));
    struct view before = {0};
    look(&before);
    apply_well(&rehearsal, TUNNEL("home", ",\"mtu\":1400") "," TUNNEL("new", ""), FORWARD("b", ""));
    assert_outcome("~home +new +b -work -a");
    assert_same(&before);
}

/* Of many, the one that differs is all that the workers hear of. */
static void test_one_change_touches_one(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    static char text[COUNT * 160];
    size_t used = 0;
    for (int round = 0; round < 2; round++) {
        struct view before = {0};
        look(&before);
        used = (size_t)sprintf(text, "{\"tunnels\":[" TUNNEL("home", "") "],\"forwards\":[");
        for (int i = 0; i < COUNT; i++)
            used += (size_t)sprintf(text + used,
                                    "%s{\"name\":\"f%d\",\"tunnel\":\"home\",\"enabled\":false,"
                                    "\"target\":{\"host\":\"10.0.0.1\",\"port\":%d}}",
                                    i > 0 ? "," : "", i, i == 7 ? 80 + round : 80);
        strcpy(text + used, "]}");
        assert_int_equal(apply(&api_prunes, text), 0);
        assert_int_equal(result.counts[APPLY_UPDATED], round);
        if (round == 1)
            assert_int_equal(result.counts[APPLY_UNCHANGED], COUNT);
    }
    assert_int_equal(forward_of("f7")->generation, 2);
    assert_int_equal(forward_of("f8")->generation, 1);
}

/* A forward goes to another tunnel while the one it had is deleted. */
static void test_forward_moves_between_tunnels(void **state)
{
    (void)state;
    apply_well(&api_keeps, TUNNEL("home", "") "," TUNNEL("work", ""), FORWARD("a", ""));
    int listener = forward_of("a")->listener;
    apply_well(
        &api_prunes, TUNNEL("work", "") "," TUNNEL("new", ""),
        "{\"name\":\"a\",\"tunnel\":\"new\",\"target\":{\"host\":\"10.0.0.1\",\"port\":80}}");
    assert_outcome("=work +new ~a -home");
    assert_string_equal(forward_of("a")->tunnel->spec.name, "new");
    assert_int_equal(forward_of("a")->listener, listener);
    assert_non_null(forward_of("a")->supervised);
    stop();
    start();
    assert_string_equal(forward_of("a")->tunnel->spec.name, "new");
}

/* --- Ports that change hands ------------------------------------------------------------------ */

static void test_ports_are_exchanged(void **state)
{
    (void)state;
    uint16_t one = free_port();
    uint16_t two = free_port();
    apply_well(&api_keeps, TUNNEL("home", ""), two_forwards(one, two));
    int first = forward_of("a")->listener;
    int second = forward_of("b")->listener;
    apply_well(&api_keeps, TUNNEL("home", ""), two_forwards(two, one));
    assert_outcome("=home ~a ~b");
    assert_int_equal(forward_of("a")->listener, second);
    assert_int_equal(forward_of("b")->listener, first);
    assert_int_equal(forward_of("a")->bound_port, two);
    assert_int_equal(forward_of("b")->bound_port, one);
    /* They are still listening. */
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(two)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
    close(client);
}

static void test_port_of_what_is_deleted_or_disabled(void **state)
{
    (void)state;
    uint16_t port = free_port();
    char forward[512];
    apply_well(&api_keeps, TUNNEL("home", ""), two_forwards(port, 0));
    snprintf(forward, sizeof(forward), FORWARD("b", LISTEN), port);
    apply_well(&api_prunes, TUNNEL("home", ""), forward);
    assert_outcome("=home ~b -a");
    assert_int_equal(forward_of("b")->bound_port, port);
    snprintf(forward, sizeof(forward),
             FORWARD("b", LISTEN ",\"enabled\":false") "," FORWARD("c", LISTEN), port, port);
    apply_well(&api_prunes, TUNNEL("home", ""), forward);
    assert_outcome("=home ~b +c");
    assert_int_equal(forward_of("c")->bound_port, port);
    assert_int_equal(forward_of("b")->listener, -1);
    /* When the last one goes, the port is free. */
    apply_well(&api_prunes, TUNNEL("home", ""), "");
    fake_worker_catch_up();
    sockets_close_listener(take_port(&port));
}

static void test_outer_ports_are_exchanged(void **state)
{
    (void)state;
    uint16_t one = free_port();
    uint16_t two = free_port();
    char tunnels[1024];
    for (int round = 0; round < 2; round++) {
        snprintf(tunnels, sizeof(tunnels),
                 TUNNEL("home", ",\"listen_port\":%u") "," TUNNEL("work", ",\"listen_port\":%u"),
                 round == 0 ? one : two, round == 0 ? two : one);
        apply_well(&api_prunes, tunnels, "");
        assert_int_equal(service_find_tunnel(fx.service, "home")->port, round == 0 ? one : two);
    }
    assert_outcome("~home ~work");
    snprintf(tunnels, sizeof(tunnels), TUNNEL("new", ",\"listen_port\":%u"), one);
    apply_well(&api_prunes, tunnels, "");
    assert_outcome("+new -home -work");
    assert_true(service_find_tunnel(fx.service, "new")->sockets[0] >= 0);
}

/* --- What fails, fails as a whole ------------------------------------------------------------- */

static void prepare_scene(uint16_t one, uint16_t two)
{
    apply_well(&api_keeps, TUNNEL("home", "") "," TUNNEL("work", ""), two_forwards(one, two));
}

static void test_all_that_is_wrong_is_told(void **state)
{
    (void)state;
    prepare_scene(0, 0);
    refuse(&api_keeps, TUNNEL("home", "") "," TUNNEL("home", ""),
           FORWARD("x", ",\"listen\":{\"port\":7}") "," FORWARD(
               "y", ",\"listen\":{\"port\":7}") ","
                                                "{\"name\":\"z\",\"tunnel\":\"none\",\"target\":{"
                                                "\"host\":\"10.0.0.1\",\"port\":80}},"
                                                "{\"name\":\"x\",\"tunnel\":\"home\",\"target\":{"
                                                "\"host\":\"fd00::1\",\"port\":80}}",
           "validation", "/tunnels/1/name");
    static const char *const pointers[] = {"/tunnels/1/name", "/forwards/3/name",
                                           "/forwards/1/listen/port", "/forwards/2/tunnel",
                                           "/forwards/3/target/host"};
    assert_int_equal(problem.errors.count, 5);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(problem.errors.items[i].pointer, pointers[i]);
}

static void test_port_taken(void **state)
{
    (void)state;
    uint16_t one = free_port();
    uint16_t two = free_port();
    prepare_scene(one, two);
    uint16_t taken = 0;
    int other = take_port(&taken);
    char forwards[512];
    snprintf(forwards, sizeof(forwards),
             FORWARD("a", LISTEN) "," FORWARD("b", LISTEN) "," FORWARD("c", LISTEN), two, one,
             taken);
    /* The exchange that came before it is undone, too. */
    refuse(&api_prunes, TUNNEL("home", "") "," TUNNEL("new", ""), forwards, "address_in_use",
           "/forwards/2/listen/port");
    snprintf(forwards, sizeof(forwards), FORWARD("d", LISTEN), one); /* "a" keeps it */
    refuse(&api_keeps, "", forwards, "address_in_use", "/forwards/0/listen/port");
    sockets_close_listener(other);
}

/* At whichever object the workers have no room. */
static void test_workers_refuse(void **state)
{
    (void)state;
    uint16_t one = free_port();
    uint16_t two = free_port();
    prepare_scene(one, two);
    char forwards[512];
    snprintf(forwards, sizeof(forwards), "%s,%s", two_forwards(two, one), FORWARD("c", ""));
    const char *tunnels = TUNNEL("home", ",\"mtu\":1400") "," TUNNEL("new", "");
    fake.fail = -ENOSPC;
    for (size_t steps = 0; steps < 5; steps++) {
        fake.fail_after = steps;
        refuse(&api_prunes, tunnels, forwards, "exhausted", NULL);
    }
    fake.fail_after = 5;
    apply_well(&api_prunes, tunnels, forwards);
    fake.fail = 0;
    assert_outcome("~home +new ~a ~b +c -work");
}

/* A trigger of our own refuses the last row that is written. */
static void test_store_refuses(void **state)
{
    (void)state;
    prepare_scene(0, 0);
    corrupt("CREATE TRIGGER refuse BEFORE DELETE ON tunnels BEGIN SELECT RAISE(ABORT, 'no'); END");
    refuse(&api_prunes, TUNNEL("home", ",\"mtu\":1400") "," TUNNEL("new", ""),
           FORWARD("a", ",\"enabled\":false") "," FORWARD("c", ""), "storage", NULL);
    corrupt("DROP TRIGGER refuse");
    stop();
    start();
    assert_null(service_find_forward(fx.service, "c"));
    assert_non_null(service_find_forward(fx.service, "b"));
}

/* Every row was written, and then the commit fails: a reference of our own leads nowhere. */
static void test_commit_fails(void **state)
{
    (void)state;
    uint16_t one = free_port();
    uint16_t two = free_port();
    prepare_scene(one, two);
    corrupt(
        "CREATE TABLE nowhere (id INTEGER PRIMARY KEY);"
        "CREATE TABLE notes (id INTEGER REFERENCES nowhere DEFERRABLE INITIALLY DEFERRED);"
        "CREATE TRIGGER refuse AFTER INSERT ON forwards BEGIN INSERT INTO notes VALUES (1); END");
    char forwards[512];
    snprintf(forwards, sizeof(forwards), "%s,%s", two_forwards(two, one), FORWARD("c", ""));
    refuse(&api_prunes, TUNNEL("home", ",\"mtu\":1400") "," TUNNEL("new", ""), forwards, "storage",
           NULL);
    corrupt("DROP TRIGGER refuse");
    apply_well(&api_prunes, TUNNEL("home", ",\"mtu\":1400") "," TUNNEL("new", ""), forwards);
    assert_outcome("~home +new ~a ~b +c -work");
}

/* What the config does not speak of has a say, too. */
static void test_bystanders(void **state)
{
    (void)state;
    apply_well(&api_keeps,
               "{\"name\":\"home\",\"private_key\":\"" KEY
               "\",\"addresses\":[\"10.9.0.2/32\",\"fd00::2/128\"]}",
               FORWARD("a", ""));
    refuse(&api_keeps,
           "{\"name\":\"home\",\"private_key\":\"" KEY "\",\"addresses\":[\"fd00::2/128\"]}", "",
           "validation", "/tunnels/0/addresses");
}

/* --- Sources ---------------------------------------------------------------------------------- */

static void test_sources_keep_apart(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("mine"));
    apply_well(&file, TUNNEL("home", ""), FORWARD("a", ""));
    assert_int_equal(forward_of("a")->source, SPEC_SOURCE_FILE);
    /* Neither deletes the other's. */
    apply_well(&file, TUNNEL("home", ""), FORWARD("b", ""));
    assert_outcome("=home +b -a");
    apply_well(&api_prunes, TUNNEL("home", "") "," TUNNEL("yours", ""), FORWARD("b", ""));
    assert_outcome("=home +yours =b -mine");
    /* Neither changes the other's. */
    refuse(&api_prunes, TUNNEL("home", ",\"mtu\":1400"), "", "managed_by_file", "/tunnels/0/name");
    refuse(&api_prunes, "", FORWARD("b", ",\"enabled\":false"), "managed_by_file",
           "/forwards/0/name");
    refuse(&file, TUNNEL("home", "") "," TUNNEL("yours", ""), "", "name_taken", "/tunnels/1/name");
    /* A file is whole by itself; the API may use a file's tunnel, which then has to stay. */
    refuse(&file, TUNNEL("home", ""),
           "{\"name\":\"z\",\"tunnel\":\"yours\",\"target\":{\"host\":\"10.0.0.1\",\"port\":80}}",
           "validation", "/forwards/0/tunnel");
    apply_well(&api_keeps, "", FORWARD("c", ""));
    refuse(&file, "", "", "in_use", "");
    stop();
    start();
    assert_int_equal(service_find_tunnel(fx.service, "home")->source, SPEC_SOURCE_FILE);
    apply_well(&file, TUNNEL("home", ""), FORWARD("b", ""));
    assert_outcome("=home =b");
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    log_set_level(LOG_LEVEL_OFF);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down_all)
    const struct CMUnitTest tests[] = {
        TEST(test_every_kind_of_difference),
        TEST(test_without_prune_nothing_is_deleted),
        TEST(test_rehearsal_changes_nothing),
        TEST(test_one_change_touches_one),
        TEST(test_forward_moves_between_tunnels),
        TEST(test_ports_are_exchanged),
        TEST(test_port_of_what_is_deleted_or_disabled),
        TEST(test_outer_ports_are_exchanged),
        TEST(test_all_that_is_wrong_is_told),
        TEST(test_port_taken),
        TEST(test_workers_refuse),
        TEST(test_store_refuses),
        TEST(test_commit_fails),
        TEST(test_bystanders),
        TEST(test_sources_keep_apart),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
