/*
 * Memory that runs out anywhere in a request: an answer that says that a change was made tells of
 * one that was, and any other of none.
 */
#include "server/apply.h"
#include "tests/unit/api/http_world.h"

/* Each change waits for the disk: one allocation in so many is enough to meet each phase. */
#define STRIDE 3

/* The allocation of cJSON that fails, counted down; 0 = none. */
static unsigned fails;

static void *allocate(size_t size)
{
    return fails > 0 && --fails == 0 ? NULL : malloc(size);
}

static uint64_t generation(void)
{
    uint64_t now;
    assert_int_equal(service_definitions_generation(fx.service, &now), 0);
    return now;
}

struct change {
    const char *method, *path, *extra, *body;
    const char *undo; /* a path to DELETE, or NULL */
    int status;
    int without_body; /* the status where there was no memory for the body */
};

/* One request with its nth allocation failing. False: it had fewer. */
static bool attempt(const struct change *change, unsigned nth)
{
    const uint64_t before = generation();
    fails = nth;
    struct answer answer = call(change->method, change->path, change->extra, change->body);
    bool failed = fails == 0;
    fails = 0;
    bool made = answer.status == change->status || answer.status == change->without_body;
    if (made != (generation() != before))
        fail_msg(
            "%s %s, allocation %u: the generation went from %llu to %llu, and the answer is %s",
            change->method, change->path, nth, (unsigned long long)before,
            (unsigned long long)generation(), answer.text);
    if (made && answer.body[0] == '\0') {
        assert_int_equal(answer.status, change->without_body);
        assert_true(strstr(answer.text, "\r\nETag: ") != NULL);
    } else if (!made && answer.status != 0) { /* 0: not even a problem could be told */
        assert_int_equal(answer.status, 503);
    }
    free_answer(&answer);
    if (made && change->undo != NULL)
        expect_status("DELETE", change->undo, "", 204);
    return failed;
}

static void run(const struct change *change)
{
    unsigned nth = 1;
    while (attempt(change, nth))
        nth += STRIDE;
    assert_true(nth > 10); /* the hook was asked */
}

static int set_up_allocation(void **state)
{
    if (set_up(state) < 0)
        return -1;
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
    cJSON_Hooks hooks = {.malloc_fn = allocate, .free_fn = free};
    cJSON_InitHooks(&hooks);
    return 0;
}

static int tear_down_allocation(void **state)
{
    cJSON_InitHooks(NULL);
    return tear_down(state);
}

static void test_create(void **state)
{
    (void)state;
    run(&(struct change){"POST", "/v1/tunnels", "", TUNNEL("other"), "/v1/tunnels/other", 201,
                         201});
    run(&(struct change){"PUT", "/v1/tunnels/other", "", TUNNEL("other"), "/v1/tunnels/other", 201,
                         201});
    run(&(struct change){"POST", "/v1/forwards", "", FORWARD("web"), "/v1/forwards/web", 201, 201});
    run(&(struct change){"PUT", "/v1/tunnels/home/peers/gw", "",
                         "{\"public_key\":\"AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}",
                         "/v1/tunnels/home/peers/gw", 201, 201});
}

/* Each value once: a request that changes nothing tells nothing. */
static void test_change(void **state)
{
    (void)state;
    expect_status("POST", "/v1/forwards", FORWARD("web"), 201);
    for (unsigned nth = 1, more = true; more; nth += STRIDE) {
        char body[64];
        snprintf(body, sizeof(body), "{\"idle_timeout_seconds\":%u}", nth);
        more =
            attempt(&(struct change){"PATCH", "/v1/forwards/web", "", body, NULL, 200, 204}, nth);
        snprintf(body, sizeof(body), "{\"mtu\":%u}", 1419 - nth);
        more |=
            attempt(&(struct change){"PATCH", "/v1/tunnels/home", "", body, NULL, 200, 204}, nth);
    }
}

static void test_documents(void **state)
{
    (void)state;
    run(&(struct change){"PUT", "/v1/config", "", "{\"tunnels\":[" TUNNEL("other") "]}",
                         "/v1/tunnels/other", 200, 204});
    run(&(struct change){
        "PUT", "/v1/tunnels/other/config", "Content-Type: text/plain\r\n",
        "[Interface]\nAddress = 10.9.0.2/32\n"
        "PrivateKey = AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEE=\nDNS = 10.0.0.1\n",
        "/v1/tunnels/other", 201, 201});
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_allocation, tear_down_allocation)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_create),
        TEST(test_change),
        TEST(test_documents),
    };
    log_set_level(LOG_LEVEL_OFF);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
