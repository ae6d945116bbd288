/*
 * Lists by readiness and by text, page by page, over HTTP.
 */
#include "tests/unit/api/http_world.h"

static void make_objects(void)
{
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
    expect_status("POST", "/v1/tunnels", TUNNEL("work"), 201);
    expect_status("POST", "/v1/forwards", FORWARD("alpha"), 201);
    expect_status("POST", "/v1/forwards", FORWARD("beta"), 201);
    expect_status("POST", "/v1/forwards",
                  "{\"name\":\"gamma\",\"tunnel\":\"work\",\"enabled\":false,"
                  "\"listen\":{\"address\":\"127.0.0.7\",\"port\":4711},"
                  "\"target\":{\"host\":\"192.168.4.9\",\"port\":22}}",
                  201);
}

/* The names in a list, page by page of one object, each with a comma behind it. */
static void list(const char *path, char *names, size_t size)
{
    char cursor[SPEC_NAME_MAX + 1] = "";
    size_t used = 0;
    names[0] = '\0';
    do {
        char page[256];
        snprintf(page, sizeof(page), "%s%climit=1%s%s", path, strchr(path, '?') ? '&' : '?',
                 cursor[0] != '\0' ? "&cursor=" : "", cursor);
        struct answer answer = call("GET", page, "", "");
        if (answer.status != 200)
            fail_msg("GET %s: %s", page, answer.text);
        const cJSON *item;
        cJSON_ArrayForEach(item, json_member(answer.json, "items"))
        {
            used += (size_t)snprintf(names + used, size - used, "%s,", text_of(item, "name"));
        }
        const cJSON *next = json_member(answer.json, "next_cursor");
        snprintf(cursor, sizeof(cursor), "%s", next != NULL ? next->valuestring : "");
        free_answer(&answer);
    } while (cursor[0] != '\0');
}

static const struct {
    const char *path;
    const char *names;
} rows[] = {
    {"/v1/forwards", "alpha,beta,gamma,"},
    {"/v1/forwards?ready=true", "alpha,beta,"},
    {"/v1/forwards?ready=false", "gamma,"},
    {"/v1/forwards?ready=false&tunnel=home", ""},
    {"/v1/forwards?q=ETA", "beta,"},
    {"/v1/forwards?q=hom", "alpha,beta,"},
    {"/v1/forwards?q=192.168.4", "alpha,beta,gamma,"},
    {"/v1/forwards?q=192.168.4.9%3A22", "gamma,"},
    {"/v1/forwards?q=127.0.0.7:4711", "gamma,"},
    {"/v1/forwards?q=a&ready=true", "alpha,beta,"},
    {"/v1/forwards?q=nothing", ""},
    {"/v1/tunnels", "home,work,"},
    {"/v1/tunnels?ready=true", "home,work,"},
    {"/v1/tunnels?ready=false", ""},
    {"/v1/tunnels?q=WOR", "work,"},
    {"/v1/tunnels?q=vpn.example.org:51820", "home,work,"},
    {"/v1/tunnels?q=10.9.0.2/32", "home,work,"},
    {"/v1/tunnels?q=peer-1", "home,work,"},
    {"/v1/tunnels?q=AgICAgICAgIC", "home,work,"}, /* the peer's key */
    {"/v1/tunnels?q=pOCSkrZRwni5", "home,work,"}, /* the tunnel's own */
    {"/v1/tunnels?q=AQEBAQEBAQ", ""},             /* the private key is not searched */
};

static void test_rows(void **state)
{
    (void)state;
    make_objects();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char names[256];
        list(rows[i].path, names, sizeof(names));
        if (strcmp(names, rows[i].names) != 0)
            fail_msg("%s: expected \"%s\", got \"%s\"", rows[i].path, rows[i].names, names);
    }
}

static void test_refused(void **state)
{
    (void)state;
    expect_problem("GET", "/v1/tunnels?ready=maybe", "", "", 400, "invalid_parameter");
    expect_problem("GET", "/v1/tunnels?q=", "", "", 400, "invalid_parameter");
    expect_problem("GET", "/v1/tunnels/home?q=a", "", "", 400, "unknown_parameter");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
