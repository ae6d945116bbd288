/*
 * fuzz: what the targets share. Each defines LLVMFuzzerTestOneInput(), which reads its input as one
 * text, or takes a sequence of small values from it, and checks what must hold for every input.
 */
#ifndef MANYTUN_TESTS_FUZZ_FUZZ_H
#define MANYTUN_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Called for each input, of any length; 0 always. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold. assert() would be compiled out of an optimised build. */
#define fuzz_check(condition) ((condition) ? (void)0 : fuzz_failed(#condition, __FILE__, __LINE__))

static inline _Noreturn void fuzz_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
    abort();
}

/* The input as a string, which ends at its first NUL. An allocation of its own, freed by the
 * caller, so that the sanitizer sees the first byte read beyond the end. */
static inline char *fuzz_text(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    fuzz_check(text);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

/* --- An input that is taken from the front --------------------------------------------------- */

struct fuzz_input {
    const uint8_t *data;
    size_t left;
};

/* The next byte; 0 when there is none. */
static inline uint8_t fuzz_byte(struct fuzz_input *input)
{
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->data++;
}

static inline uint16_t fuzz_u16(struct fuzz_input *input)
{
    unsigned high = fuzz_byte(input);
    return (uint16_t)(high << 8 | fuzz_byte(input));
}

static inline uint64_t fuzz_u64(struct fuzz_input *input)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | fuzz_byte(input);
    return value;
}

/* Up to len bytes, copied; returns how many there were. */
static inline size_t fuzz_bytes(struct fuzz_input *input, void *out, size_t len)
{
    if (len > input->left)
        len = input->left;
    if (len > 0)
        memcpy(out, input->data, len);
    input->data += len;
    input->left -= len;
    return len;
}

#endif
