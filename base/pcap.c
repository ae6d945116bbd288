/* pcap: no state; the fields of both headers are 32-bit words, or two of 16 bits. */
#include "base/pcap.h"

#include <string.h>

#define MAGIC_NANOSECONDS 0xa1b23c4dU
#define VERSION_MAJOR     2
#define VERSION_MINOR     4
#define LINKTYPE_RAW      101
#define NS_PER_S          1000000000

void pcap_file_header(uint8_t out[PCAP_FILE_HEADER])
{
    static const struct {
        uint32_t magic;
        uint16_t major, minor;
        uint32_t zone, accuracy; /* always 0 */
        uint32_t snaplen;
        uint32_t linktype;
    } header = {MAGIC_NANOSECONDS, VERSION_MAJOR, VERSION_MINOR, 0, 0, PCAP_SNAPLEN, LINKTYPE_RAW};
    _Static_assert(sizeof(header) == PCAP_FILE_HEADER, "no padding");

    memcpy(out, &header, sizeof(header));
}

void pcap_record_header(uint8_t out[PCAP_RECORD_HEADER], int64_t unix_ns, size_t kept, size_t len)
{
    const uint32_t header[] = {(uint32_t)(unix_ns / NS_PER_S), (uint32_t)(unix_ns % NS_PER_S),
                               (uint32_t)kept, (uint32_t)len};
    _Static_assert(sizeof(header) == PCAP_RECORD_HEADER, "no padding");

    memcpy(out, header, sizeof(header));
}
