/*
 * vault: a master key, and the secrets that are sealed with it.
 *
 * XChaCha20-Poly1305 (libsodium's, draft-irtf-cfrg-xchacha-03) under a key that is derived from the
 * master key, with a random nonce for every sealing. The place of a secret is authenticated with
 * it, so that a sealed secret that was moved to another row does not open.
 *
 * The key is in memory that is locked, guarded, and wiped when it is freed. In its file it is 32
 * bytes in base64 on one line, as WireGuard's keys are.
 */
#ifndef MANYTUN_STORE_VAULT_H
#define MANYTUN_STORE_VAULT_H

#include "base/spec.h"

/* Names a master key without telling anything of it. */
#define VAULT_ID_LEN 16

/* A secret of SPEC_KEY_LEN bytes, sealed: nonce, secret, tag. */
#define VAULT_SEALED_LEN (24 + SPEC_KEY_LEN + 16)

struct vault;

/* A random key, or NULL (out of memory). */
struct vault *vault_new(void);
/*
 * The key in a file. 0, -EINVAL (the file holds no key), -ENOMEM, or -errno. A file that other
 * users may read is used, with a warning in the log.
 */
int vault_read(const char *path, struct vault **out);
/* Writes the key to a file, complete or not at all, and lasting. 0 or -errno. */
int vault_write(const struct vault *vault, const char *path);
/* NULL is allowed. */
void vault_free(struct vault *vault);

const uint8_t *vault_id(const struct vault *vault); /* VAULT_ID_LEN bytes */

/* Where a secret is stored. */
struct vault_place {
    const char *table;
    const char *tunnel;
    const char *peer; /* "" = the tunnel itself */
};

void vault_seal(const struct vault *vault, const struct vault_place *place,
                const uint8_t secret[SPEC_KEY_LEN], uint8_t sealed[VAULT_SEALED_LEN]);
/* 0, or -EBADMSG with secret untouched: another key, another place, or damaged. */
int vault_open(const struct vault *vault, const struct vault_place *place,
               const uint8_t sealed[VAULT_SEALED_LEN], uint8_t secret[SPEC_KEY_LEN]);

#endif
