/*
 * relay LISTEN TARGET [SEED]: a UDP relay that behaves like a bad network (relay.h), for tests.
 *
 * Addresses as "192.0.2.1:51820". It writes the address that it listens on, executes the commands
 * that come on standard input (command.h), and ends with it.
 */
#include "tests/relay/command.h"
#include "tests/relay/relay.h"
#include "tests/relay/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)

/* The longest command injects the largest datagram. */
struct input {
    char text[2 * SOCKETS_DATAGRAM_MAX + 256];
    size_t len;
};

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

/* Executes the whole lines that there are. False at the end of the input. */
static bool take_commands(struct relay *relay, struct input *input)
{
    const ssize_t got =
        read(STDIN_FILENO, input->text + input->len, sizeof(input->text) - 1 - input->len);
    char *line = input->text;
    char *end;
    if (got <= 0)
        return false;
    input->len += (size_t)got;
    input->text[input->len] = '\0';
    while ((end = strchr(line, '\n'))) {
        *end = '\0';
        command_execute(relay, line, stdout);
        fflush(stdout);
        line = end + 1;
    }
    input->len -= (size_t)(line - input->text);
    memmove(input->text, line, input->len);
    return true;
}

/* Waits for datagrams, for commands, and until the next datagram is due. */
static int wait_for(const struct relay *relay, struct pollfd *polled, size_t count)
{
    const uint64_t deadline = relay_deadline(relay);
    const uint64_t at = deadline == PATH_NEVER ? 0 : now();
    const uint64_t left = deadline > at ? deadline - at : 0;
    const struct timespec timeout = {
        .tv_sec = (time_t)(left / SECOND),
        .tv_nsec = (long)(left % SECOND),
    };
    return ppoll(polled, count, deadline == PATH_NEVER ? NULL : &timeout, NULL);
}

static void run(struct relay *relay)
{
    static struct input input;
    bool open = true;
    while (open) {
        struct pollfd polled[RELAY_POLL_MAX + 1];
        const size_t count = relay_poll(relay, polled);
        polled[count] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
        if (wait_for(relay, polled, count + 1) < 0)
            continue; /* interrupted */
        relay_receive(relay, polled, count, now());
        relay_forward(relay, now());
        if (polled[count].revents)
            open = take_commands(relay, &input);
    }
}

int main(int argc, char **argv)
{
    union inet_sockaddr listen;
    union inet_sockaddr target;
    struct relay *relay;
    char text[INET_SOCKADDR_TEXT];

    if (argc < 3 || argc > 4 || sockets_parse(argv[1], &listen) < 0 ||
        sockets_parse(argv[2], &target) < 0) {
        fputs("Usage: relay LISTEN TARGET [SEED], addresses as 192.0.2.1:51820\n", stderr);
        return 2;
    }
    const uint64_t seed = argc == 4 ? strtoull(argv[3], NULL, 10) : 1;
    int error = relay_new(&listen, &target, seed, &relay);
    if (!error)
        error = sockets_name(relay->listener, &listen);
    if (error) {
        fprintf(stderr, "relay: %s\n", strerror(-error));
        return 1;
    }
    prctl(PR_SET_TIMERSLACK, 1UL); /* datagrams leave when they are due, not 50 us later */
    printf("%s\n", inet_sockaddr_print(&listen, text));
    fflush(stdout);
    run(relay);
    relay_free(relay);
    return 0;
}
