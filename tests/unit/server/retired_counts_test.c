/* retired_counts: what is added to a forward, when, and what is no such offer. */
#include "server/retired_counts.h"

#include "tests/support/cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WORDS = 16, SIZE = WORDS * sizeof(uint64_t) };

static struct fixture {
    int segment;
    uint64_t *words; /* as the worker sees them */
    struct retired_counts *counts;
    struct service_forward forward;
} fx;

static int set_up(void **state)
{
    (void)state;
    fx = (struct fixture){.segment = memfd_create("test", MFD_CLOEXEC)};
    assert_int_equal(ftruncate(fx.segment, SIZE), 0);
    fx.words = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fx.segment, 0);
    return fx.words == MAP_FAILED;
}

static int tear_down(void **state)
{
    (void)state;
    retired_counts_free(fx.counts);
    munmap(fx.words, SIZE);
    return close(fx.segment);
}

/* The four words from `first` on, of which so much is stored. */
static struct retired_record make_record(uint64_t first, uint64_t counted)
{
    struct retired_record record = {.forward = "web"};
    for (unsigned i = 0; i < RETIRED_VALUES; i++) {
        record.offsets[i] = (first + i) * sizeof(uint64_t);
        record.counted[i] = counted;
    }
    return record;
}

static int offer(const struct retired_record *records, size_t count)
{
    int fd = retired_records_write(records, count);
    assert_true(fd >= 0);
    int rc = retired_counts_new(fd, fx.segment, &fx.counts);
    close(fd);
    return rc;
}

static void adopt(void)
{
    struct retired_share *share = retired_counts_at(fx.counts, 0);
    share->forward = &fx.forward;
    SLIST_INSERT_HEAD(&fx.forward.retired, share, link);
}

static void expect(uint64_t connections, uint64_t failures, uint64_t in, uint64_t out)
{
    struct forward_totals totals = fx.forward.counted_before;
    retired_shares_add(&fx.forward, &totals);
    assert_int_equal(totals.connections, connections);
    assert_int_equal(totals.connect_failures, failures);
    assert_int_equal(totals.bytes_in, in);
    assert_int_equal(totals.bytes_out, out);
}

static void count(uint64_t first)
{
    for (unsigned i = 0; i < RETIRED_VALUES; i++)
        fx.words[4 + i] = first + i;
}

static void only_what_comes_is_added(void **state)
{
    (void)state;
    const struct retired_record record = make_record(4, 10);
    fx.forward.counted_before = (struct forward_totals){100, 200, 300, 400};
    count(10);
    assert_int_equal(offer(&record, 1), 0);
    adopt();
    expect(100, 201, 302, 403);
    count(20);
    expect(110, 211, 312, 413);
    /* Settled, nothing is counted twice; freed, it is the forward's. */
    retired_shares_settle(&fx.forward);
    expect(110, 211, 312, 413);
    count(30);
    expect(120, 221, 322, 423);
    retired_counts_free(fx.counts);
    fx.counts = NULL;
    assert_true(SLIST_EMPTY(&fx.forward.retired));
    assert_int_equal(fx.forward.counted_before.bytes_out, 423);
}

/* The worker has counted less than is stored: its slot is younger. */
static void a_part_may_be_negative(void **state)
{
    (void)state;
    const struct retired_record record = make_record(4, (uint64_t)-50);
    fx.forward.counted_before = (struct forward_totals){100, 100, 100, 100};
    assert_int_equal(offer(&record, 1), 0);
    adopt();
    count(1);
    expect(151, 152, 153, 154);
}

static void a_forward_may_go_first(void **state)
{
    (void)state;
    const struct retired_record record = make_record(4, 0);
    assert_int_equal(offer(&record, 1), 0);
    adopt();
    retired_shares_forget(&fx.forward);
    count(10);
    expect(0, 0, 0, 0);
}

static void what_is_no_offer_is_refused(void **state)
{
    (void)state;
    struct retired_record records[2] = {make_record(4, 0), make_record(WORDS - 4, 0)};
    assert_int_equal(offer(records, 2), 0); /* the last words that there are */
    retired_counts_free(fx.counts);
    fx.counts = NULL;
    records[1].offsets[3] += sizeof(uint64_t);
    assert_int_equal(offer(records, 2), -EPROTO);
    records[1].offsets[3] = UINT64_MAX - 7;
    assert_int_equal(offer(records, 2), -EPROTO);
    records[1].offsets[3] = 9;
    assert_int_equal(offer(records, 2), -EPROTO);
    records[1] = make_record(4, 0);
    memset(records[1].forward, 'x', sizeof(records[1].forward));
    assert_int_equal(offer(records, 2), -EPROTO);
    int fd = retired_records_write(records, 1);
    assert_int_equal(ftruncate(fd, sizeof(records[0]) - 1), 0);
    assert_int_equal(retired_counts_new(fd, fx.segment, &fx.counts), -EPROTO);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(retired_counts_new(fd, fx.segment, &fx.counts), 0);
    assert_int_equal(retired_counts_size(fx.counts), 0);
    close(fd);
    assert_int_equal(retired_counts_new(-1, fx.segment, &fx.counts), -EBADF);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_what_comes_is_added),
        TEST(a_part_may_be_negative),
        TEST(a_forward_may_go_first),
        TEST(what_is_no_offer_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
