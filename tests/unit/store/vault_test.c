#include "store/vault.h"

#include "base/log.h"
#include "tests/support/cmocka_all.h"
#include "tests/support/folder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint8_t secret[SPEC_KEY_LEN] = "0123456789abcdef0123456789abcde";
static const struct vault_place place = {"peer_secrets", "home", "gw"};

static char directory[64];
static struct vault *vault;

static int set_up(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/vault-test-XXXXXX");
    vault = vault_new();
    return mkdtemp(directory) != NULL && vault != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    vault_free(vault);
    return folder_remove(directory);
}

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

static void test_round_trip(void **state)
{
    (void)state;
    uint8_t sealed[VAULT_SEALED_LEN];
    uint8_t again[VAULT_SEALED_LEN];
    uint8_t opened[SPEC_KEY_LEN] = {0};
    vault_seal(vault, &place, secret, sealed);
    assert_int_equal(vault_open(vault, &place, sealed, opened), 0);
    assert_memory_equal(opened, secret, SPEC_KEY_LEN);
    /* Nothing of the secret shows, not even that it is the same one. */
    vault_seal(vault, &place, secret, again);
    assert_memory_not_equal(sealed, again, VAULT_SEALED_LEN);
    assert_null(memmem(sealed, sizeof(sealed), secret, 8));
}

static void test_any_changed_bit_is_noticed(void **state)
{
    (void)state;
    uint8_t sealed[VAULT_SEALED_LEN];
    uint8_t opened[SPEC_KEY_LEN] = {0};
    static const uint8_t untouched[SPEC_KEY_LEN];
    vault_seal(vault, &place, secret, sealed);
    for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
        sealed[bit / 8] = (uint8_t)(sealed[bit / 8] ^ 1U << bit % 8);
        assert_int_equal(vault_open(vault, &place, sealed, opened), -EBADMSG);
        sealed[bit / 8] = (uint8_t)(sealed[bit / 8] ^ 1U << bit % 8);
    }
    assert_memory_equal(opened, untouched, SPEC_KEY_LEN);
    assert_int_equal(vault_open(vault, &place, sealed, opened), 0);
}

static void test_other_places_do_not_open(void **state)
{
    (void)state;
    static const struct vault_place others[] = {
        {"tunnel_secrets", "home", "gw"}, {"peer_secrets", "hom", "egw"},
        {"peer_secrets", "home", "gw2"},  {"peer_secrets", "home", ""},
        {"peer_secrets", "gw", "home"},   {"peer_secretshome", "", "gw"},
    };
    uint8_t sealed[VAULT_SEALED_LEN];
    uint8_t opened[SPEC_KEY_LEN];
    vault_seal(vault, &place, secret, sealed);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_int_equal(vault_open(vault, &others[i], sealed, opened), -EBADMSG);
}

static void test_another_key_does_not_open(void **state)
{
    (void)state;
    uint8_t sealed[VAULT_SEALED_LEN];
    uint8_t opened[SPEC_KEY_LEN];
    vault_seal(vault, &place, secret, sealed);
    struct vault *other = vault_new();
    assert_non_null(other);
    assert_int_equal(vault_open(other, &place, sealed, opened), -EBADMSG);
    assert_memory_not_equal(vault_id(other), vault_id(vault), VAULT_ID_LEN);
    vault_free(other);
}

static void test_file(void **state)
{
    (void)state;
    uint8_t sealed[VAULT_SEALED_LEN];
    uint8_t opened[SPEC_KEY_LEN];
    mode_t mask = umask(0);
    assert_int_equal(vault_write(vault, path_of("key")), 0);
    umask(mask);
    struct stat st;
    assert_int_equal(stat(path_of("key"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, SPEC_KEY_TEXT);
    assert_int_not_equal(access(path_of("key.partial"), F_OK), 0);
    struct vault *read;
    assert_int_equal(vault_read(path_of("key"), &read), 0);
    assert_memory_equal(vault_id(read), vault_id(vault), VAULT_ID_LEN);
    vault_seal(vault, &place, secret, sealed);
    assert_int_equal(vault_open(read, &place, sealed, opened), 0);
    vault_free(read);
}

/*
 * What is derived from a key may never change: databases out there are sealed with it. Computed
 * from the definitions of BLAKE2b and XChaCha20-Poly1305 by a program without libsodium.
 */
static void test_derivation_is_fixed(void **state)
{
    (void)state;
    static const uint8_t id[VAULT_ID_LEN] = {0x4e, 0x02, 0xdc, 0x0b, 0xb1, 0x74, 0xeb, 0xc6,
                                             0xe7, 0xe0, 0x6f, 0xe0, 0x39, 0x26, 0x04, 0x41};
    static const uint8_t sealed[VAULT_SEALED_LEN] = {
        0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x70, 0x71, 0x72,
        0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x7b, 0x67, 0xbc, 0xf7, 0x9a, 0x16, 0x95,
        0x59, 0x82, 0xe4, 0xc7, 0xb4, 0x65, 0xdb, 0x45, 0xce, 0x8c, 0xe8, 0x17, 0xd8, 0xfb, 0xd8,
        0x22, 0x29, 0xd5, 0xe4, 0xcd, 0x61, 0x4a, 0x1c, 0x27, 0x25, 0xbc, 0xe8, 0x49, 0xfe, 0x02,
        0x0b, 0xd3, 0x87, 0x09, 0x5c, 0xa0, 0x07, 0x0c, 0xfc, 0x59, 0x5b, 0x77};
    FILE *file = fopen(path_of("key"), "w");
    assert_non_null(file);
    fputs("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", file);
    fclose(file);
    struct vault *read;
    uint8_t opened[SPEC_KEY_LEN];
    assert_int_equal(vault_read(path_of("key"), &read), 0);
    assert_memory_equal(vault_id(read), id, VAULT_ID_LEN);
    assert_int_equal(vault_open(read, &place, sealed, opened), 0);
    assert_memory_equal(opened, secret, SPEC_KEY_LEN);
    vault_free(read);
}

static void test_files_that_hold_no_key(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int rc;
    } rows[] = {
        {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", 0},
        {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", 0},
        {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n", -EINVAL},
        {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=x", -EINVAL},
        {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", -EINVAL},
        {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=", -EINVAL},
        {"", -EINVAL},
        {"\n", -EINVAL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        FILE *file = fopen(path_of("key"), "w");
        assert_non_null(file);
        fputs(rows[i].text, file);
        fclose(file);
        struct vault *read = NULL;
        assert_int_equal(vault_read(path_of("key"), &read), rows[i].rc);
        vault_free(read);
    }
    struct vault *none;
    assert_int_equal(vault_read(path_of("none"), &none), -ENOENT);
    assert_int_equal(vault_read(directory, &none), -EISDIR);
}

int main(void)
{
    log_set_level(LOG_LEVEL_OFF);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),
        TEST(test_any_changed_bit_is_noticed),
        TEST(test_other_places_do_not_open),
        TEST(test_another_key_does_not_open),
        TEST(test_file),
        TEST(test_derivation_is_fixed),
        TEST(test_files_that_hold_no_key),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
