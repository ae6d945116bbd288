/* cmocka_all: cmocka and the headers that it wants before it. */
#ifndef MANYTUN_TESTS_CMOCKA_ALL_H
#define MANYTUN_TESTS_CMOCKA_ALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
