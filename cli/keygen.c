/* keygen: a new private key and its public key, in the notation of wg-quick's files. */
#include "base/spec.h"
#include "cli/commands.h"
#include "engine/crypto/x25519.h"

#include <sodium.h>
#include <stdio.h>

int keygen_command(void)
{
    uint8_t private_key[SPEC_KEY_LEN], public_key[SPEC_KEY_LEN];
    char text[SPEC_KEY_TEXT];
    randombytes_buf(private_key, sizeof(private_key));
    x25519_clamp(private_key);
    x25519_public(public_key, private_key);
    printf("PrivateKey = %s\n", spec_key_print(private_key, text));
    printf("PublicKey = %s\n", spec_key_print(public_key, text));
    sodium_memzero(private_key, sizeof(private_key));
    sodium_memzero(text, sizeof(text));
    return fflush(stdout) == 0 ? 0 : 1;
}
