/*
 * problem: why an operation was refused, in the shape of RFC 9457 (application/problem+json), for
 * the API and the command line alike.
 */
#ifndef MANYTUN_SERVER_PROBLEM_H
#define MANYTUN_SERVER_PROBLEM_H

#include "base/spec.h"

struct problem {
    int status;        /* HTTP status; 0 = no problem */
    const char *code;  /* stable: "validation", "conflict", …; also the last part of type */
    const char *title; /* the same text for every problem of this code */
    char detail[256];  /* this occurrence */
    struct spec_errors errors; /* per field; may be empty */
};

/*
 * Fills *problem (errors are kept) and returns -1, so that a function can return problem_set(…).
 * code is one of the table in problem.c, which gives status and title.
 */
int problem_set(struct problem *problem, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
