/*
 * vault: owns the keys, which are written once and then only read.
 */
#include "store/vault.h"

#include "base/log.h"
#include "store/private_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NONCE_LEN crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_LEN   crypto_aead_xchacha20poly1305_ietf_ABYTES
_Static_assert(VAULT_SEALED_LEN == NONCE_LEN + SPEC_KEY_LEN + TAG_LEN, "what seal() writes");

#define MASTER_LEN crypto_kdf_KEYBYTES
_Static_assert(MASTER_LEN == SPEC_KEY_LEN, "it is read and printed as WireGuard's keys are");

/* What is derived from a master key (crypto_kdf): never change these. */
static const char context[crypto_kdf_CONTEXTBYTES] = "manytun1";
enum { SUBKEY_SEALING = 1, SUBKEY_ID = 2 };

#define PLACE_LEN 32

struct vault {
    uint8_t master[MASTER_LEN];
    uint8_t sealing[crypto_aead_xchacha20poly1305_ietf_KEYBYTES];
    uint8_t id[VAULT_ID_LEN];
};

/* --- Keys ------------------------------------------------------------------------------------- */

/* A vault whose master key the caller sets, before derive(). */
static struct vault *allocate(void)
{
    return sodium_init() < 0 ? NULL : sodium_malloc(sizeof(struct vault));
}

static void derive(struct vault *vault)
{
    crypto_kdf_derive_from_key(vault->sealing, sizeof(vault->sealing), SUBKEY_SEALING, context,
                               vault->master);
    crypto_kdf_derive_from_key(vault->id, sizeof(vault->id), SUBKEY_ID, context, vault->master);
    sodium_mprotect_readonly(vault);
}

struct vault *vault_new(void)
{
    struct vault *vault = allocate();
    if (vault == NULL)
        return NULL;
    crypto_kdf_keygen(vault->master);
    derive(vault);
    return vault;
}

void vault_free(struct vault *vault)
{
    sodium_free(vault);
}

const uint8_t *vault_id(const struct vault *vault)
{
    return vault->id;
}

/* --- Files ------------------------------------------------------------------------------------ */

/* Reads a small file as text, without its final newline. 0, -EINVAL (too long) or -errno. */
static int read_text(const char *path, char text[SPEC_KEY_TEXT])
{
    char read_into[SPEC_KEY_TEXT + 1];
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    ssize_t len = read(fd, read_into, sizeof(read_into));
    int rc = len < 0 ? -errno : 0;
    if (fstat(fd, &st) == 0 && spec_key_file_shared(&st))
        log_warn("the master key %s is open to other users (mode %03o); 0400 is enough", path,
                 (unsigned)(st.st_mode & 0777));
    close(fd);
    if (rc == 0 && len > 0 && read_into[len - 1] == '\n')
        len--;
    if (rc == 0 && len != SPEC_KEY_TEXT - 1)
        rc = -EINVAL;
    if (rc == 0) {
        memcpy(text, read_into, SPEC_KEY_TEXT - 1);
        text[SPEC_KEY_TEXT - 1] = '\0';
    }
    sodium_memzero(read_into, sizeof(read_into));
    return rc;
}

int vault_read(const char *path, struct vault **out)
{
    char text[SPEC_KEY_TEXT];
    int rc = read_text(path, text);
    if (rc < 0)
        return rc;
    struct vault *vault = allocate();
    rc = vault != NULL ? spec_key_parse(text, vault->master) : -ENOMEM;
    sodium_memzero(text, sizeof(text));
    if (rc < 0) {
        vault_free(vault);
        return rc;
    }
    derive(vault);
    *out = vault;
    return 0;
}

int vault_write(const struct vault *vault, const char *path)
{
    char line[SPEC_KEY_TEXT + 1];
    spec_key_print(vault->master, line);
    line[SPEC_KEY_TEXT - 1] = '\n';
    int rc = private_file_write(path, line, SPEC_KEY_TEXT);
    sodium_memzero(line, sizeof(line));
    return rc;
}

/* --- Sealing ---------------------------------------------------------------------------------- */

/* What is authenticated: a version, the table, the tunnel and the peer, each with its NUL. */
static void hash_place(const struct vault_place *place, uint8_t out[PLACE_LEN])
{
    const char *const parts[] = {"1", place->table, place->tunnel, place->peer};
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, PLACE_LEN);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        crypto_generichash_update(&state, (const unsigned char *)parts[i], strlen(parts[i]) + 1);
    crypto_generichash_final(&state, out, PLACE_LEN);
}

void vault_seal(const struct vault *vault, const struct vault_place *place,
                const uint8_t secret[SPEC_KEY_LEN], uint8_t sealed[VAULT_SEALED_LEN])
{
    uint8_t where[PLACE_LEN];
    hash_place(place, where);
    randombytes_buf(sealed, NONCE_LEN);
    crypto_aead_xchacha20poly1305_ietf_encrypt(sealed + NONCE_LEN, NULL, secret, SPEC_KEY_LEN,
                                               where, sizeof(where), NULL, sealed, vault->sealing);
}

int vault_open(const struct vault *vault, const struct vault_place *place,
               const uint8_t sealed[VAULT_SEALED_LEN], uint8_t secret[SPEC_KEY_LEN])
{
    uint8_t where[PLACE_LEN];
    uint8_t opened[SPEC_KEY_LEN];
    hash_place(place, where);
    int rc = crypto_aead_xchacha20poly1305_ietf_decrypt(opened, NULL, NULL, sealed + NONCE_LEN,
                                                        VAULT_SEALED_LEN - NONCE_LEN, where,
                                                        sizeof(where), sealed, vault->sealing) == 0
                 ? 0
                 : -EBADMSG;
    if (rc == 0)
        memcpy(secret, opened, sizeof(opened));
    sodium_memzero(opened, sizeof(opened));
    return rc;
}
