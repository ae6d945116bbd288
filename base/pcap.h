/*
 * pcap: the classic capture file of IP packets (IETF draft-ietf-opsawg-pcap), in this host's byte
 * order and with nanoseconds, as tcpdump and Wireshark read it.
 */
#ifndef MANYTUN_BASE_PCAP_H
#define MANYTUN_BASE_PCAP_H

#include <stddef.h>
#include <stdint.h>

#define PCAP_FILE_HEADER   24
#define PCAP_RECORD_HEADER 16

/* The most that is kept of one packet: all of it, as an IP packet is no longer but for jumbograms.
 */
#define PCAP_SNAPLEN 65535

/* What a file begins with: packets begin with their IP header (link type 101, LINKTYPE_RAW). */
void pcap_file_header(uint8_t out[PCAP_FILE_HEADER]);

/* What goes before a packet of len bytes of which the first `kept` follow. */
void pcap_record_header(uint8_t out[PCAP_RECORD_HEADER], int64_t unix_ns, size_t kept, size_t len);

#endif
