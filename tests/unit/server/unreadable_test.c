/*
 * unreadable: stored definitions that cannot be read are seen, deleted and replaced.
 */
#include "server/unreadable.h"

#include "base/config.h"
#include "base/json.h"
#include "server/apply.h"
#include "server/events.h"
#include "tests/unit/server/service_world.h"

static void restart_with(const char *sql)
{
    stop();
    corrupt(sql);
    start();
}

#define BREAK_TUNNEL  "UPDATE tunnels SET definition = '{' WHERE name = 'home'"
#define BREAK_FORWARD "UPDATE forwards SET definition = '{' WHERE name = 'web'"

static int set_up_objects(void **state)
{
    if (set_up(state) < 0)
        return -1;
    create_tunnel(make_tunnel("home"));
    create_forward(make_forward("app", 0));
    create_forward(make_forward("web", 0));
    return 0;
}

static size_t count(enum unreadable_kind kind)
{
    size_t found = 0;
    const struct unreadable *unreadable = service_next_unreadable(fx.service, kind, "");
    for (; unreadable != NULL;
         unreadable = service_next_unreadable(fx.service, kind, unreadable->name))
        found++;
    return found;
}

static const struct unreadable *find(enum unreadable_kind kind, const char *name)
{
    const struct unreadable *unreadable = service_find_unreadable(fx.service, kind, name);
    if (unreadable == NULL)
        fail_msg("%s is not there", name);
    return unreadable;
}

static void refuse_delete(const char *tunnel, bool cascade, const char *code)
{
    struct problem problem = {0};
    assert_int_equal(service_delete_tunnel(fx.service, tunnel, cascade, &problem), -1);
    assert_string_equal(problem.code, code);
}

static const struct service_tunnel *put_tunnel(void)
{
    struct spec_tunnel spec = make_tunnel("home");
    const struct service_tunnel *tunnel = NULL;
    struct problem problem = {0};
    if (service_put_tunnel(fx.service, &spec, &tunnel, &problem) < 0)
        fail_msg("%s: %s", problem.code, problem.detail);
    return tunnel;
}

/* --- Seen ------------------------------------------------------------------------------------- */

struct look {
    const char *type, *name;
    unsigned found;
    char message[EVENTS_MESSAGE_MAX + 1];
};

static int look_at(void *ctx, const struct store_event *event)
{
    struct look *look = ctx;
    if (strcmp(event->type, look->type) == 0 && strcmp(event->name, look->name) == 0) {
        look->found++;
        snprintf(look->message, sizeof(look->message), "%s", event->message);
    }
    return 0;
}

static struct look look_for(const char *type, const char *name)
{
    struct look look = {.type = type, .name = name};
    assert_int_equal(events_flush(service_events(fx.service)), 0);
    assert_int_equal(events_read(service_events(fx.service), 0, look_at, &look), 0);
    return look;
}

static void test_tunnel_is_seen_with_its_forwards(void **state)
{
    (void)state;
    restart_with(BREAK_TUNNEL);
    assert_null(service_find_tunnel(fx.service, "home"));
    const struct unreadable *tunnel = find(UNREADABLE_TUNNEL, "home");
    assert_int_equal(tunnel->condition.is.status, CONDITION_FALSE);
    assert_string_equal(tunnel->condition.is.reason, "Unreadable");
    assert_non_null(strstr(tunnel->condition.is.message, "not valid JSON"));
    assert_int_equal(count(UNREADABLE_FORWARD), 2);
    const struct unreadable *forward = find(UNREADABLE_FORWARD, "web");
    assert_true(forward->waits);
    assert_string_equal(forward->tunnel, "home");
    assert_string_equal(forward->condition.is.reason, "TunnelUnreadable");
    struct look look = look_for("tunnel.condition", "home");
    assert_int_equal(look.found, 1);
    assert_non_null(strstr(look.message, "2 forward(s) wait for it"));
    struct problem problem = {0};
    service_not_found(fx.service, UNREADABLE_TUNNEL, "home", &problem);
    assert_string_equal(problem.code, "not_found");
    assert_non_null(strstr(problem.detail, "not valid JSON"));
}

static void test_names_that_are_none(void **state)
{
    (void)state;
    restart_with("UPDATE forwards SET name = 'No Name' WHERE name = 'web'");
    assert_int_equal(count(UNREADABLE_FORWARD), 0);
    assert_null(service_unnamed(fx.service, UNREADABLE_TUNNEL));
    const struct condition *unnamed = service_unnamed(fx.service, UNREADABLE_FORWARD);
    assert_non_null(unnamed);
    assert_int_equal(unnamed->is.status, CONDITION_FALSE);
}

/* A start tells of some of them, and how many there are. */
static void test_events_are_bounded(void **state)
{
    (void)state;
    char name[16];
    for (int i = 0; i < UNREADABLE_EVENTS_MAX + 10; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        struct spec_forward spec = make_forward(name, 0);
        spec.enabled = false;
        create_forward(spec);
    }
    restart_with("UPDATE forwards SET definition = '{'");
    assert_int_equal(count(UNREADABLE_FORWARD), UNREADABLE_EVENTS_MAX + 12);
    uint64_t first, last;
    struct look look = look_for("service.started", "");
    assert_non_null(strstr(look.message, "112 definitions were left out"));
    assert_int_equal(events_span(service_events(fx.service), &first, &last), 0);
    /* 2 starts, 1 stop, the objects, and as many as are told of. */
    assert_int_equal(last, 3 + 3 + UNREADABLE_EVENTS_MAX + 10 + UNREADABLE_EVENTS_MAX);
}

/* --- Deleted ---------------------------------------------------------------------------------- */

static void test_delete_forward(void **state)
{
    (void)state;
    struct problem problem = {0};
    restart_with(BREAK_FORWARD);
    refuse_delete("home", false, "in_use");
    assert_int_equal(service_delete_forward(fx.service, "web", &problem), 0);
    assert_int_equal(look_for("forward.deleted", "web").found, 1);
    assert_int_equal(service_delete_forward(fx.service, "web", &problem), -1);
    assert_string_equal(problem.code, "not_found");
    restart_with("SELECT 1");
    assert_int_equal(count(UNREADABLE_FORWARD), 0);
    create_forward(make_forward("web", 0));
}

static void test_delete_tunnel(void **state)
{
    (void)state;
    struct problem problem = {0};
    restart_with(BREAK_TUNNEL);
    refuse_delete("home", false, "in_use");
    assert_int_equal(service_delete_tunnel(fx.service, "home", true, &problem), 0);
    assert_int_equal(look_for("tunnel.deleted", "home").found, 1);
    assert_int_equal(look_for("forward.deleted", "app").found, 1);
    assert_int_equal(count(UNREADABLE_TUNNEL) + count(UNREADABLE_FORWARD), 0);
    restart_with("SELECT 1");
    assert_int_equal(count(UNREADABLE_TUNNEL) + count(UNREADABLE_FORWARD), 0);
}

/* With a tunnel that can be read, only when that is asked for. */
static void test_delete_with_a_readable_tunnel(void **state)
{
    (void)state;
    struct problem problem = {0};
    restart_with(BREAK_FORWARD);
    assert_int_equal(service_delete_forward(fx.service, "app", &problem), 0);
    refuse_delete("home", false, "in_use");
    assert_int_equal(service_delete_tunnel(fx.service, "home", true, &problem), 0);
    assert_int_equal(look_for("forward.deleted", "web").found, 1);
    assert_int_equal(count(UNREADABLE_FORWARD), 0);
}

static void test_refused_while_draining_or_by_the_database(void **state)
{
    (void)state;
    restart_with(BREAK_TUNNEL);
    corrupt("CREATE TRIGGER stop_it BEFORE DELETE ON tunnels BEGIN SELECT RAISE(ABORT, 'no'); END");
    refuse_delete("home", true, "storage");
    assert_int_equal(count(UNREADABLE_FORWARD), 2);
    corrupt("DROP TRIGGER stop_it");
    service_drain(fx.service, NULL, NULL);
    refuse_delete("home", true, "draining");
}

/* --- Replaced --------------------------------------------------------------------------------- */

static void test_replace_tunnel_brings_its_forwards_back(void **state)
{
    (void)state;
    uint16_t port = service_find_forward(fx.service, "web")->bound_port;
    counter_set(&service_find_forward(fx.service, "web")->supervised->counters.bytes_in, 7);
    counter_set(&service_find_tunnel(fx.service, "home")->supervised->counters.rx_bytes, 8);
    restart_with(BREAK_TUNNEL ";UPDATE tunnels SET generation = 5, created_at = 0, source = 9");
    assert_int_equal(fake.forwards, 0);
    refuse_tunnel(make_tunnel("home"), "name_taken"); /* a creation replaces nothing */
    const struct service_tunnel *tunnel = put_tunnel();
    assert_int_equal(tunnel->generation, 6);
    assert_int_equal(service_tunnel_totals(tunnel).rx_bytes, 0); /* it is another one */
    assert_int_equal(count(UNREADABLE_TUNNEL) + count(UNREADABLE_FORWARD), 0);
    const struct service_forward *forward = service_find_forward(fx.service, "web");
    assert_non_null(forward);
    assert_true(service_forward_is_ready(forward));
    assert_int_equal(forward->bound_port, port);
    assert_int_equal(service_forward_totals(forward).bytes_in, 7);
    assert_int_equal(tunnel->forwards, 2);
    restart_with("SELECT 1");
    assert_int_equal(service_find_tunnel(fx.service, "home")->generation, 6);
    assert_true(service_find_tunnel(fx.service, "home")->created_at.tv_sec > 0);
    assert_int_equal(service_tunnel_totals(service_find_tunnel(fx.service, "home")).rx_bytes, 0);
    assert_true(service_forward_is_ready(service_find_forward(fx.service, "app")));
}

static void test_replace_forward(void **state)
{
    (void)state;
    counter_set(&service_find_forward(fx.service, "web")->supervised->counters.bytes_in, 7);
    restart_with(BREAK_FORWARD ";UPDATE forwards SET generation = 5");
    refuse_forward(make_forward("web", 0), "name_taken", "/name");
    struct spec_forward spec = make_forward("web", 0);
    struct problem problem = {0};
    const struct service_forward *forward;
    assert_int_equal(service_put_forward(fx.service, &spec, &forward, &problem), 0);
    assert_int_equal(forward->generation, 6);
    assert_int_equal(count(UNREADABLE_FORWARD), 0);
    restart_with("SELECT 1");
    forward = service_find_forward(fx.service, "web");
    assert_true(service_forward_is_ready(forward));
    assert_int_equal(service_forward_totals(forward).bytes_in, 0);
}

/* A change that fails leaves what was to be replaced. */
static void test_failed_replacement(void **state)
{
    (void)state;
    restart_with(BREAK_TUNNEL);
    fake.fail = -ENOSPC;
    struct spec_tunnel spec = make_tunnel("home");
    const struct service_tunnel *tunnel;
    struct problem problem = {0};
    assert_int_equal(service_put_tunnel(fx.service, &spec, &tunnel, &problem), -1);
    fake.fail = 0;
    assert_int_equal(count(UNREADABLE_TUNNEL), 1);
    assert_int_equal(count(UNREADABLE_FORWARD), 2);
    put_tunnel();
}

#define KEY "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
#define FORWARDS(name, tunnel)                                                                     \
    ",\"forwards\":[{\"name\":\"" name "\",\"tunnel\":\"" tunnel                                   \
    "\",\"target\":{\"host\":\"10.0.0.1\",\"port\":80}}]}"

/* Makes it all that there is of a source; 0 or -1. */
static int apply(enum spec_source source, const char *document, struct problem *problem)
{
    const struct apply_options options = {.source = source, .prune = true};
    struct apply_result result;
    struct config config = {0};
    struct json_error error;
    cJSON *json = json_read(document, strlen(document), &error);
    assert_non_null(json);
    assert_int_equal(config_read(&config, json, &(struct config_source){0}, &problem->errors), 0);
    int rc = service_apply(fx.service, &config, &options, &result, problem);
    if (rc == 0)
        apply_result_fini(&result);
    json_free(json);
    config_fini(&config);
    return rc;
}

#define WORK                                                                                       \
    "{\"tunnels\":[{\"name\":\"work\",\"private_key\":\"" KEY "\",\"addresses\":[\"10.9.0.3/"      \
    "32\"]}]"

/* It is replaced, and goes to another tunnel, in the change that deletes its former one. */
static void test_replacement_leaves_a_tunnel_that_goes(void **state)
{
    (void)state;
    struct problem problem = {0};
    restart_with(BREAK_FORWARD);
    assert_int_equal(apply(SPEC_SOURCE_API, WORK FORWARDS("web", "work"), &problem), 0);
    assert_int_equal(look_for("forward.deleted", "web").found, 0);
    assert_int_equal(look_for("forward.deleted", "app").found, 1);
    assert_int_equal(count(UNREADABLE_FORWARD), 0);
    restart_with("SELECT 1");
    assert_non_null(service_find_forward(fx.service, "web"));
    assert_null(service_find_tunnel(fx.service, "home"));
}

/* The same when the database refuses: then it still goes with its tunnel. */
static void test_replacement_that_was_undone(void **state)
{
    (void)state;
    struct problem problem = {0};
    restart_with(BREAK_FORWARD);
    corrupt("CREATE TRIGGER stop_it BEFORE DELETE ON tunnels BEGIN SELECT RAISE(ABORT, 'no'); END");
    assert_int_equal(apply(SPEC_SOURCE_API, WORK FORWARDS("web", "work"), &problem), -1);
    assert_string_equal(problem.code, "storage");
    corrupt("DROP TRIGGER stop_it");
    assert_int_equal(count(UNREADABLE_FORWARD), 1);
    assert_int_equal(service_delete_tunnel(fx.service, "home", true, &problem), 0);
    assert_int_equal(look_for("forward.deleted", "web").found, 1);
}

/* What a configuration leaves out takes nothing with it that another source has made. */
static void test_tunnel_that_anothers_forward_uses(void **state)
{
    (void)state;
    struct problem problem = {0};
    restart_with(BREAK_FORWARD ";UPDATE tunnels SET source = 1"
                               ";UPDATE forwards SET source = 1 WHERE name = 'app'");
    assert_int_equal(apply(SPEC_SOURCE_FILE, "{}", &problem), -1);
    assert_string_equal(problem.code, "in_use");
    assert_int_equal(count(UNREADABLE_FORWARD), 1);
    assert_int_equal(service_delete_forward(fx.service, "web", &problem), 0);
    problem = (struct problem){0};
    assert_int_equal(apply(SPEC_SOURCE_FILE, "{}", &problem), 0);
    assert_null(service_find_tunnel(fx.service, "home"));
}

static void test_a_files_is_replaced_by_the_file(void **state)
{
    (void)state;
    restart_with(BREAK_FORWARD ";UPDATE forwards SET source = 1");
    struct spec_forward spec = make_forward("web", 0);
    struct problem problem = {0};
    const struct service_forward *forward;
    assert_int_equal(service_put_forward(fx.service, &spec, &forward, &problem), -1);
    assert_string_equal(problem.code, "managed_by_file");
    assert_int_equal(service_delete_forward(fx.service, "web", &problem), 0);
}

/* The database may have the only copy of its key. */
static void test_pruning_leaves_it(void **state)
{
    (void)state;
    restart_with(BREAK_TUNNEL);
    const struct apply_options options = {.source = SPEC_SOURCE_API, .prune = true};
    struct config config = {0};
    struct apply_result result;
    struct problem problem = {0};
    assert_int_equal(service_apply(fx.service, &config, &options, &result, &problem), 0);
    assert_int_equal(result.counts[APPLY_DELETED], 0);
    apply_result_fini(&result);
    config_fini(&config);
    assert_string_equal(find(UNREADABLE_TUNNEL, "home")->name, "home");
    assert_int_equal(count(UNREADABLE_FORWARD), 2); /* which wait for it */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_objects, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_tunnel_is_seen_with_its_forwards),
        TEST(test_names_that_are_none),
        TEST(test_events_are_bounded),
        TEST(test_delete_forward),
        TEST(test_delete_tunnel),
        TEST(test_delete_with_a_readable_tunnel),
        TEST(test_refused_while_draining_or_by_the_database),
        TEST(test_replace_tunnel_brings_its_forwards_back),
        TEST(test_replace_forward),
        TEST(test_failed_replacement),
        TEST(test_replacement_leaves_a_tunnel_that_goes),
        TEST(test_replacement_that_was_undone),
        TEST(test_tunnel_that_anothers_forward_uses),
        TEST(test_a_files_is_replaced_by_the_file),
        TEST(test_pruning_leaves_it),
    };
    log_set_level(LOG_LEVEL_OFF);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
