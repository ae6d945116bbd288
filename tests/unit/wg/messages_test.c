/* messages: the numbers of the protocol, written out, so that no change of one goes unnoticed. */
#include "tests/support/cmocka_all.h"

#include "engine/wg/messages.h"
#include "engine/wg/replay.h"

static void constants_are_those_of_the_protocol(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t actual, expected;
    } constants[] = {
        {"initiation", INITIATION_LEN, 148},
        {"response", RESPONSE_LEN, 92},
        {"cookie reply", COOKIE_REPLY_LEN, 64},
        {"keepalive", DATA_OVERHEAD, 32},
        {"REKEY_AFTER_MESSAGES", WG_REKEY_AFTER_MESSAGES, UINT64_C(1152921504606846976)},
        {"REJECT_AFTER_MESSAGES", WG_REJECT_AFTER_MESSAGES, UINT64_C(18446744073709543423)},
        {"REKEY_AFTER_TIME", WG_REKEY_AFTER_TIME, UINT64_C(120000000000)},
        {"REJECT_AFTER_TIME", WG_REJECT_AFTER_TIME, UINT64_C(180000000000)},
        {"REKEY_ATTEMPT_TIME", WG_REKEY_ATTEMPT_TIME, UINT64_C(90000000000)},
        {"REKEY_TIMEOUT", WG_REKEY_TIMEOUT, UINT64_C(5000000000)},
        {"jitter", WG_REKEY_JITTER_MAX, UINT64_C(333000000)},
        {"KEEPALIVE_TIMEOUT", WG_KEEPALIVE_TIMEOUT, UINT64_C(10000000000)},
        {"zeroing", WG_ZERO_KEYS_TIME, UINT64_C(540000000000)},
        {"cookie secret", WG_COOKIE_SECRET_MAX_AGE, UINT64_C(120000000000)},
        {"cookie in use", WG_COOKIE_SECRET_MAX_AGE - WG_COOKIE_LATENCY, UINT64_C(115000000000)},
        {"initiations of one peer", WG_INITIATION_INTERVAL, UINT64_C(20000000)},
        {"padding", WG_PADDING, 16},
        {"TOS of handshakes", WG_TOS_HANDSHAKE, 0x88},
        {"replay window", REPLAY_WINDOW, 8128},
        {"staged packets", WG_STAGED_MAX, 128},
    };
    for (size_t i = 0; i < sizeof(constants) / sizeof(constants[0]); i++) {
        if (constants[i].actual != constants[i].expected)
            print_error("%s\n", constants[i].name);
        assert_true(constants[i].actual == constants[i].expected);
    }
}

static void integers_are_read_as_they_are_written(void **state)
{
    (void)state;
    const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t out[8];
    assert_int_equal(load_le32(bytes), 0x04030201);
    assert_true(load_le64(bytes) == UINT64_C(0x0807060504030201));
    assert_int_equal(load_be16(bytes), 0x0102);
    assert_int_equal(load_be32(bytes), 0x01020304);
    assert_true(load_be64(bytes) == UINT64_C(0x0102030405060708));
    store_le32(out, 0x04030201);
    assert_memory_equal(out, bytes, 4);
    store_le64(out, UINT64_C(0x0807060504030201));
    assert_memory_equal(out, bytes, 8);
    store_be32(out, 0x01020304);
    assert_memory_equal(out, bytes, 4);
    store_be64(out, UINT64_C(0x0102030405060708));
    assert_memory_equal(out, bytes, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constants_are_those_of_the_protocol),
        cmocka_unit_test(integers_are_read_as_they_are_written),
    };
    return cmocka_run_group_tests_name("messages", tests, NULL, NULL);
}
