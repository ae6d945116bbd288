/*
 * pcap_file: the inner packets of a tunnel in a file (`manytun run --pcap`), from the first packet
 * to the end, also when the worker is started again in between.
 *
 * Packets that come faster than the file can be written are left out, which is logged at the end.
 */
#ifndef MANYTUN_CLI_PCAP_FILE_H
#define MANYTUN_CLI_PCAP_FILE_H

struct event_base;
struct pcap_file;
struct service;

/*
 * Begins a new file, which nobody else may read. To be called before the loop runs, so that no
 * packet has passed yet; service is borrowed. 0 or -errno.
 */
int pcap_file_new(struct event_base *base, struct service *service, const char *tunnel,
                  const char *path, struct pcap_file **out);
/* Writes what the worker still has. NULL is allowed. */
void pcap_file_free(struct pcap_file *file);

#endif
