/*
 * lookup_error: why a name could not be looked up, or why what it stands for cannot be used.
 */
#ifndef MANYTUN_SERVER_LOOKUP_ERROR_H
#define MANYTUN_SERVER_LOOKUP_ERROR_H

/*
 * IPv4 and IPv6 are asked for apart: of two errors the one that says more, which is the later one
 * here, is the lookup's.
 */
enum lookup_error {
    LOOKUP_OK,
    LOOKUP_NO_ADDRESSES, /* the name exists, and has none */
    LOOKUP_NO_ANSWER,    /* no name server answered in time, or all answered that they had failed */
    LOOKUP_REFUSED,      /* by the name servers */
    LOOKUP_BAD_ANSWER,   /* one that means nothing here */
    LOOKUP_TRUNCATED,    /* the answer is too long */
    LOOKUP_NOT_FOUND,    /* there is no such name */
    LOOKUP_NOT_ASKED,    /* for want of memory, or because the name is too long */
    LOOKUP_OTHER_FAMILY, /* only addresses of a family that cannot be used */
    LOOKUP_NO_SERVER,    /* no name server is configured */
    LOOKUP_NO_INTERFACE, /* there is none of the name that an address of one link has */
    LOOKUP_ERRORS
};

/* In the words of a condition. */
struct lookup_failure {
    const char *reason;  /* one word in CamelCase: stable */
    const char *message; /* what it means and what to do */
};

/* Of any error but LOOKUP_OK. */
const struct lookup_failure *lookup_failure_find(enum lookup_error error);

#endif
