/*
 * resume: owns the variable of the environment that tells the number of the descriptor in which
 * everything else is listed.
 */
#include "cli/resume.h"

#include "cli/notify.h"
#include "server/inherited.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define VARIABLE "MANYTUN_INHERITED_FD"

int resume_execute(char *const *arguments, const struct inherited *kept,
                   const struct notify *notify)
{
    char number[12];
    int fd = inherited_keep(kept);
    if (fd < 0)
        return fd;
    snprintf(number, sizeof(number), "%d", fd);
    if (setenv(VARIABLE, number, 1) < 0 || notify_lend(notify) < 0)
        return -ENOMEM;
    /* What asks for something may be lost, and must not end a program that is not listening yet. */
    signal(SIGHUP, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
    execv("/proc/self/exe", arguments);
    return -errno;
}

int resume_find(struct inherited **out)
{
    const char *number = getenv(VARIABLE);
    char *end;
    *out = NULL;
    if (!number)
        return 0;
    long fd = *number >= '0' && *number <= '9' ? strtol(number, &end, 10) : -1;
    if (fd < 0 || fd > INT_MAX || *end != '\0')
        return -EINVAL;
    unsetenv(VARIABLE);
    /* Of the children that are ours still, the workers that live are looked after otherwise. */
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    return inherited_find_kept((int)fd, out);
}
