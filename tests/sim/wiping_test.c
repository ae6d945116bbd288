/*
 * What becomes of secrets: what a handshake computes is wiped where it was written, and no memory
 * is given back with a key in it. The linker puts the functions here around those that write
 * secrets, sodium_memzero() and free().
 */
#include "tests/sim/attacker.h"

#include "engine/crypto/aead.h"
#include "engine/crypto/hash.h"

#include <blake2.h>
#include <malloc.h>
#include <sodium.h>

#define SECRETS_MAX 256
#define KEY_LEN     32

#define STACK_MAX (1 << 20)

/* Secrets that were not wiped since they were written. */
static struct {
    const uint8_t *at;
    uint8_t bytes[KEY_LEN];
} secrets[SECRETS_MAX];
static size_t secrets_left;
static size_t shared_count; /* shared secrets of Diffie-Hellman exchanges */

/* What must not be in freed memory. */
static uint8_t keys[SECRETS_MAX][KEY_LEN];
static size_t keys_count;
static size_t freed_with_key;

static uintptr_t stack_base;

/*
 * What lay on the stack and is something else by now was not wiped in time. Elsewhere secrets may
 * be replaced by newer ones.
 */
static bool is_as_written(size_t i)
{
    const uintptr_t at = (uintptr_t)secrets[i].at;
    bool on_stack = at < stack_base && at > stack_base - STACK_MAX;
    return !on_stack || memcmp(secrets[i].at, secrets[i].bytes, KEY_LEN) == 0;
}

static void secret_written(const uint8_t *secret)
{
    size_t i = 0;
    while (i < secrets_left && secrets[i].at != secret)
        i++;
    assert_true(i < SECRETS_MAX);
    secrets[i].at = secret;
    memcpy(secrets[i].bytes, secret, KEY_LEN);
    if (i == secrets_left)
        secrets_left++;
}

static void secrets_wiped(const void *memory, size_t len)
{
    const uint8_t *begin = memory;
    for (size_t i = secrets_left; i-- > 0;)
        if (secrets[i].at >= begin && secrets[i].at + KEY_LEN <= begin + len && is_as_written(i))
            secrets[i] = secrets[--secrets_left];
}

int __real_x25519_shared(uint8_t secret[X25519_LEN], const uint8_t private_key[X25519_LEN],
                         const uint8_t public_key[X25519_LEN]);
int __wrap_x25519_shared(uint8_t secret[X25519_LEN], const uint8_t private_key[X25519_LEN],
                         const uint8_t public_key[X25519_LEN]);
int __wrap_x25519_shared(uint8_t secret[X25519_LEN], const uint8_t private_key[X25519_LEN],
                         const uint8_t public_key[X25519_LEN])
{
    int error = __real_x25519_shared(secret, private_key, public_key);
    shared_count++;
    secret_written(secret);
    return error;
}

/* The last step of making an ephemeral key. */
void __real_x25519_clamp(uint8_t private_key[X25519_LEN]);
void __wrap_x25519_clamp(uint8_t private_key[X25519_LEN]);
void __wrap_x25519_clamp(uint8_t private_key[X25519_LEN])
{
    __real_x25519_clamp(private_key);
    secret_written(private_key);
}

void __real_cookie_checker_renew(struct cookie_checker *checker, const uint8_t secret[HASH_LEN],
                                 uint64_t now);
void __wrap_cookie_checker_renew(struct cookie_checker *checker, const uint8_t secret[HASH_LEN],
                                 uint64_t now);
void __wrap_cookie_checker_renew(struct cookie_checker *checker, const uint8_t secret[HASH_LEN],
                                 uint64_t now)
{
    secret_written(secret);
    __real_cookie_checker_renew(checker, secret, now);
}

/* While keys are derived every hash is a secret. */
static bool deriving;

int __real_blake2s_final(blake2s_state *state, uint8_t *out, size_t len);
int __wrap_blake2s_final(blake2s_state *state, uint8_t *out, size_t len);
int __wrap_blake2s_final(blake2s_state *state, uint8_t *out, size_t len)
{
    int error = __real_blake2s_final(state, out, len);
    if (deriving)
        secret_written(out);
    return error;
}

void __real_hash_kdf(const uint8_t chaining_key[HASH_LEN], const void *input, size_t len,
                     uint8_t first[HASH_LEN], uint8_t *second, uint8_t *third);
void __wrap_hash_kdf(const uint8_t chaining_key[HASH_LEN], const void *input, size_t len,
                     uint8_t first[HASH_LEN], uint8_t *second, uint8_t *third);
void __wrap_hash_kdf(const uint8_t chaining_key[HASH_LEN], const void *input, size_t len,
                     uint8_t first[HASH_LEN], uint8_t *second, uint8_t *third)
{
    uint8_t *const derived[] = {first, second, third};
    deriving = true;
    __real_hash_kdf(chaining_key, input, len, first, second, third);
    deriving = false;
    for (size_t i = 0; i < sizeof(derived) / sizeof(derived[0]); i++)
        if (derived[i])
            secret_written(derived[i]);
}

void __real_aead_key_init(struct aead_key *key, const uint8_t bytes[AEAD_KEY_LEN]);
void __wrap_aead_key_init(struct aead_key *key, const uint8_t bytes[AEAD_KEY_LEN]);
void __wrap_aead_key_init(struct aead_key *key, const uint8_t bytes[AEAD_KEY_LEN])
{
    __real_aead_key_init(key, bytes);
    secret_written(key->bytes);
}

void __real_sodium_memzero(void *memory, size_t len);
void __wrap_sodium_memzero(void *memory, size_t len);
void __wrap_sodium_memzero(void *memory, size_t len)
{
    secrets_wiped(memory, len);
    __real_sodium_memzero(memory, len);
}

void __real_free(void *memory);
void __wrap_free(void *memory);
void __wrap_free(void *memory)
{
    for (size_t i = 0; memory && i < keys_count; i++)
        if (memmem(memory, malloc_usable_size(memory), keys[i], KEY_LEN))
            freed_with_key++;
    __real_free(memory);
}

static void watch_key(const uint8_t key[KEY_LEN])
{
    assert_true(keys_count < SECRETS_MAX);
    memcpy(keys[keys_count++], key, KEY_LEN);
}

static void watch_sessions(const struct wg_peer *peer)
{
    const struct keypair *const sessions[] = {peer->keypairs.current, peer->keypairs.previous,
                                              peer->keypairs.next};
    for (size_t i = 0; i < sizeof(sessions) / sizeof(sessions[0]); i++) {
        if (!sessions[i])
            continue;
        watch_key(sessions[i]->send.bytes);
        watch_key(sessions[i]->receive.bytes);
    }
}

static int setup(void **state)
{
    stack_base = (uintptr_t)__builtin_frame_address(0);
    secrets_left = 0;
    shared_count = 0;
    keys_count = 0;
    freed_with_key = 0;
    return pair_setup(state);
}

/* The static keys' shared secret stays, for the next handshake, and a session's two keys. */
static void handshakes_leave_no_secrets(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    assert_int_equal(shared_count, 8); /* es, ss, ee, se on both sides */
    assert_int_equal(secrets_left, 2 * (1 + 2));
    wg_peer_remove(pair->a_to_b);
    wg_peer_remove(pair->b_to_a);
    assert_int_equal(secrets_left, 0);
}

static void failed_handshakes_leave_no_secrets(void **state)
{
    struct pair *pair = *state;
    const uint8_t preshared_key[WG_KEY_LEN] = {1};
    wg_peer_set_preshared_key(pair->a_to_b, preshared_key);
    a_sends(pair, 1);
    network_run(pair->network, S(1));
    assert_int_equal(pair->b->delivered, 0);
    /* b has a session, and a still waits for an answer: its chaining key stays. */
    assert_int_equal(secrets_left, 1 + 2 + 1 + 1);
    wg_peer_remove(pair->a_to_b);
    wg_peer_remove(pair->b_to_a);
    assert_int_equal(secrets_left, 0);
}

/* The secret of two static keys is none of the next private key's. */
static void another_private_key_leaves_no_secrets(void **state)
{
    struct pair *pair = *state;
    uint8_t key[WG_KEY_LEN];
    pair_connect(pair);
    node_random(pair->a, key, sizeof(key));
    const size_t before = secrets_left;
    wg_device_set_private_key(pair->a->device, key);
    assert_int_equal(secrets_left, before - 1);
}

/* Of the secret behind cookies there is the device's copy alone. */
static void cookies_leave_no_secrets(void **state)
{
    struct pair *pair = *state;
    const struct datagram replay = connect_and_keep(pair);
    const size_t before = secrets_left;
    for (int i = 0; i <= WG_HANDSHAKE_QUEUE_LOADED; i++)
        inject(pair->b, &replay, &pair->a->addr);
    assert_int_equal(pair->b->sent[MESSAGE_COOKIE_REPLY], 1);
    assert_int_equal(secrets_left, before);
}

static void keys_do_not_outlive_their_sessions(void **state)
{
    struct pair *pair = *state;
    uint8_t preshared_key[WG_KEY_LEN];
    node_random(pair->a, preshared_key, sizeof(preshared_key));
    wg_peer_set_preshared_key(pair->a_to_b, preshared_key);
    wg_peer_set_preshared_key(pair->b_to_a, preshared_key);
    pair_connect(pair);
    watch_sessions(pair->a_to_b);
    watch_sessions(pair->b_to_a);
    network_run(pair->network, S(130));
    a_sends(pair, 1); /* which renews the session */
    network_run(pair->network, S(1));
    watch_sessions(pair->a_to_b);
    watch_sessions(pair->b_to_a);
    network_run(pair->network, S(600));
    assert_null(pair->a_to_b->keypairs.current);
    assert_int_equal(freed_with_key, 0);
}

static void keys_do_not_outlive_their_device(void **state)
{
    struct pair *pair = *state;
    uint8_t preshared_key[WG_KEY_LEN];
    node_random(pair->a, preshared_key, sizeof(preshared_key));
    wg_peer_set_preshared_key(pair->a_to_b, preshared_key);
    wg_peer_set_preshared_key(pair->b_to_a, preshared_key);
    pair_connect(pair);
    network_run(pair->network, S(130));
    pair->network->loss_per_mille = 1000;
    a_sends(pair, 1); /* so that there is a handshake, too */
    assert_int_equal(pair->a_to_b->handshake.state, HANDSHAKE_CREATED_INITIATION);
    watch_sessions(pair->a_to_b);
    watch_key(preshared_key);
    watch_key(pair->a->device->keys.private_key);
    watch_key(pair->a_to_b->handshake.static_static);
    watch_key(pair->a_to_b->handshake.ephemeral.private_key);
    watch_key(pair->a_to_b->handshake.noise.chaining_key);
    wg_device_free(pair->a->device);
    assert_int_equal(freed_with_key, 0);
    assert_int_equal(wg_device_new(&node_ops, pair->a, &pair->a->device), 0);
}

/* What the two above rely on. */
static void keys_in_freed_memory_are_noticed(void **state)
{
    (void)state;
    const uint8_t key[KEY_LEN] = {1, 2, 3};
    watch_key(key);
    uint8_t *memory = malloc(100);
    assert_non_null(memory);
    memcpy(memory + 60, key, sizeof(key));
    __asm__ volatile("" ::"r"(memory) : "memory"); /* a store that nobody reads is left out */
    free(memory);
    assert_int_equal(freed_with_key, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(handshakes_leave_no_secrets, setup, pair_teardown),
        cmocka_unit_test_setup_teardown(failed_handshakes_leave_no_secrets, setup, pair_teardown),
        cmocka_unit_test_setup_teardown(another_private_key_leaves_no_secrets, setup,
                                        pair_teardown),
        cmocka_unit_test_setup_teardown(cookies_leave_no_secrets, setup, pair_teardown),
        cmocka_unit_test_setup_teardown(keys_do_not_outlive_their_sessions, setup, pair_teardown),
        cmocka_unit_test_setup_teardown(keys_do_not_outlive_their_device, setup, pair_teardown),
        cmocka_unit_test_setup_teardown(keys_in_freed_memory_are_noticed, setup, pair_teardown),
    };
    return cmocka_run_group_tests_name("wiping", tests, NULL, NULL);
}
