/* listener and relay: what connections carry, how they end, and what is counted. */
#include "tests/unit/worker/relay_world.h"

static void carries_bytes_both_ways(void **state)
{
    struct fixture *f = *state;
    start_listener(f);
    struct client client = {.fd = connect_client(f), .to_send = LARGE, .shut = true};
    run_until(f, client_at_end, &client);
    assert_int_equal(client.error, 0);
    assert_int_equal(client.received, LARGE);
    assert_int_equal(f->target.received, LARGE);
    assert_int_equal(f->target.sum, client.sum_sent);
    run_until(f, none_active, NULL);
    assert_int_equal(counter_get(&f->counters.bytes_in), LARGE);
    assert_int_equal(counter_get(&f->counters.bytes_out), LARGE);
    assert_int_equal(counter_get(&f->counters.connections_total), 1);
    assert_int_equal(counter_get(&f->counters.connect_failures), 0);
    close(client.fd);
}

static bool target_at_eof(struct fixture *f, void *arg)
{
    client_work(arg);
    return f->target.eof;
}

/* The client has nothing to say, ends its side, and then gets the whole answer. */
static void answers_after_the_client_has_ended(void **state)
{
    struct fixture *f = *state;
    f->target = (struct target){.role = COLLECT};
    start_listener(f);
    struct client client = {.fd = connect_client(f), .shut = true};
    run_until(f, target_at_eof, &client);
    assert_false(client.eof);
    f->target.to_send = LARGE;
    target_send(&f->target);
    while (f->target.sent < LARGE) {
        run_once(f);
        client_work(&client);
        target_send(&f->target);
    }
    stack_conn_shutdown(f->target.conn);
    run_until(f, client_at_end, &client);
    assert_true(client.eof);
    assert_int_equal(client.received, LARGE);
    close(client.fd);
}

static bool all_arrived(struct fixture *f, void *arg)
{
    struct client *client = arg;
    client_work(client);
    return f->target.received == client->to_send && f->target.eof;
}

/* The mirror case: the target has ended, and still gets everything. */
static void goes_on_after_the_target_has_ended(void **state)
{
    struct fixture *f = *state;
    f->target = (struct target){.role = COLLECT};
    start_listener(f);
    struct client client = {.fd = connect_client(f), .to_send = 1};
    run_once(f);
    client_work(&client);
    while (!f->target.conn)
        run_once(f);
    stack_conn_shutdown(f->target.conn);
    f->target.shut = true;
    run_until(f, client_at_end, &client);
    assert_true(client.eof);
    client.to_send = LARGE;
    client.shut = true;
    run_until(f, all_arrived, &client);
    assert_int_equal(f->target.sum, client.sum_sent);
    close(client.fd);
}

static bool out_is_full(struct fixture *f, void *arg)
{
    size_t *before = arg;
    size_t now = counter_get(&f->counters.bytes_out);
    bool same = now > 0 && now == *before;
    *before = now;
    return same;
}

/* What the target does not read stays with the client: neither side's buffers grow with it. */
static void reads_no_more_than_the_target_takes(void **state)
{
    struct fixture *f = *state;
    f->target = (struct target){.role = HOLD};
    start_listener(f);
    struct client client = {.fd = connect_client(f), .to_send = 64 << 20};
    size_t before = 0;
    for (int calm = 0; calm < 50; calm++) {
        client_work(&client);
        if (before != counter_get(&f->counters.bytes_out))
            calm = 0;
        run_until(f, out_is_full, &before);
    }
    assert_true(client.sent < client.to_send);
    /* A send buffer here and a receive window there are 2 MiB. */
    assert_true(counter_get(&f->counters.bytes_out) <= 2 << 20);
    assert_true(stack_conn_pending(f->target.conn) <= 1 << 20);
    close(client.fd);
}

static void resets_the_client_when_the_dial_is_refused(void **state)
{
    struct fixture *f = *state;
    f->spec.target_port = TARGET_PORT + 1;
    start_listener(f);
    struct client client = {.fd = connect_client(f)};
    run_until(f, client_at_end, &client);
    assert_int_equal(client.error, ECONNRESET);
    assert_int_equal(counter_get(&f->counters.connect_failures), 1);
    assert_int_equal(counter_get(&f->counters.last_error), ECONNREFUSED);
    close(client.fd);
}

static void a_target_that_belongs_to_no_peer_is_out_of_reach_at_once(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(inet_addr_parse("10.0.1.1", &f->spec.target_address), 0);
    start_listener(f);
    struct client client = {.fd = connect_client(f)};
    run_until(f, client_at_end, &client);
    assert_int_equal(client.error, ECONNRESET);
    assert_int_equal(counter_get(&f->counters.connect_failures), 1);
    assert_int_equal(counter_get(&f->counters.last_error), EHOSTUNREACH);
    close(client.fd);
}

/* Which connection was the last shows in the times, also when they would be equal. */
static void tells_the_last_connection_from_those_before(void **state)
{
    struct fixture *f = *state;
    struct counters_forward *counters = &f->counters;
    const uint64_t ahead = clock_now() + 3600 * CLOCK_NS_PER_S;
    start_listener(f);
    counter_set(&counters->last_error_at, ahead);
    struct client client = {.fd = connect_client(f), .to_send = 1, .shut = true};
    run_until(f, client_at_end, &client);
    close(client.fd);
    assert_true(counter_get(&counters->last_connect_at) > ahead);

    f->spec.target_port = TARGET_PORT + 1;
    assert_int_equal(listener_update(f->listener, &f->spec, -1), 0);
    client = (struct client){.fd = connect_client(f)};
    run_until(f, client_at_end, &client);
    close(client.fd);
    assert_true(counter_get(&counters->last_error_at) > counter_get(&counters->last_connect_at));
}

static void gives_a_dial_up_after_its_timeout(void **state)
{
    struct fixture *f = *state;
    inet_addr_parse("10.0.0.9", &f->spec.target_address); /* nobody has it */
    f->spec.connect_timeout_seconds = 1;
    start_listener(f);
    struct client client = {.fd = connect_client(f)};
    run_until(f, client_at_end, &client);
    assert_int_equal(client.error, ECONNRESET);
    assert_int_equal(counter_get(&f->counters.last_error), ETIMEDOUT);
    close(client.fd);
}

static void ends_what_is_idle_if_asked_to(void **state)
{
    struct fixture *f = *state;
    f->target = (struct target){.role = COLLECT};
    f->spec.idle_timeout_seconds = 1;
    start_listener(f);
    struct client client = {.fd = connect_client(f), .to_send = 10};
    run_until(f, client_at_end, &client);
    assert_int_equal(client.error, ECONNRESET);
    assert_int_equal(f->target.received, 10);
    close(client.fd);
}

static void passes_resets_on(void **state)
{
    struct fixture *f = *state;
    f->target = (struct target){.role = HOLD};
    start_listener(f);
    struct client client = {.fd = connect_client(f)};
    while (!f->target.conn)
        run_once(f);
    struct linger reset = {.l_onoff = 1};
    setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(client.fd);
    run_until(f, target_is_closed, NULL);
    assert_int_equal(f->target.close_error, -ECONNRESET);

    f->target = (struct target){.role = HOLD};
    client = (struct client){.fd = connect_client(f)};
    while (!f->target.conn)
        run_once(f);
    stack_conn_abort(f->target.conn);
    f->target.conn = NULL;
    run_until(f, client_at_end, &client);
    assert_int_equal(client.error, ECONNRESET);
    close(client.fd);
}

static void ends_its_connections_when_it_is_freed(void **state)
{
    struct fixture *f = *state;
    f->target = (struct target){.role = HOLD};
    start_listener(f);
    struct client client = {.fd = connect_client(f)};
    while (!f->target.conn)
        run_once(f);
    listener_free(f->listener);
    f->listener = NULL;
    assert_int_equal(counter_get(&f->counters.connections_active), 0);
    run_until(f, client_at_end, &client);
    assert_int_equal(client.error, ECONNRESET);
    run_until(f, target_is_closed, NULL);
    close(client.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        relay_test(carries_bytes_both_ways),
        relay_test(answers_after_the_client_has_ended),
        relay_test(goes_on_after_the_target_has_ended),
        relay_test(reads_no_more_than_the_target_takes),
        relay_test(resets_the_client_when_the_dial_is_refused),
        relay_test(a_target_that_belongs_to_no_peer_is_out_of_reach_at_once),
        relay_test(tells_the_last_connection_from_those_before),
        relay_test(gives_a_dial_up_after_its_timeout),
        relay_test(ends_what_is_idle_if_asked_to),
        relay_test(passes_resets_on),
        relay_test(ends_its_connections_when_it_is_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
