/*
 * checksum: the Internet checksum (RFC 1071): the one's complement sum of 16-bit words.
 *
 * Sums are kept unfolded and uncomplemented in memory order (RFC 1071, 2(B): the sum does not
 * depend on byte order), so that pieces can be added up; an odd piece may only be the last one.
 */
#ifndef MANYTUN_ENGINE_STACK_CHECKSUM_H
#define MANYTUN_ENGINE_STACK_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* sum plus the 16-bit words of data; an odd last byte is padded with zero. */
uint64_t checksum_add(uint64_t sum, const void *data, size_t len);
/* The same, copying data to dst on the way. The two must not overlap. */
uint64_t checksum_add_copy(uint64_t sum, void *dst, const void *src, size_t len);
/* The sum folded to 16 bits, not complemented: 0xffff over data that carries its checksum. */
uint16_t checksum_fold(uint64_t sum);

/*
 * The sum of the pseudo header of TCP, UDP and ICMPv6 (RFC 9293, 3.1; RFC 8200, 8.1).
 * address_len is 4 or 16; len is that of the transport header and what follows.
 */
uint64_t checksum_pseudo(const uint8_t *src, const uint8_t *dst, size_t address_len,
                         uint8_t protocol, size_t len);

/* The folded sum, as lwIP wants it: LWIP_CHKSUM and LWIP_CHKSUM_COPY (port/arch/cc.h). */
uint16_t checksum_lwip(const void *data, int len);
uint16_t checksum_lwip_copy(void *dst, const void *src, uint16_t len);

#endif
