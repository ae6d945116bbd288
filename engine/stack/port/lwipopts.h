/*
 * lwipopts: how lwIP is compiled: TCP over IPv4 and IPv6 and nothing else.
 *
 * Everything that would make a virtual stack talk on its own (neighbour discovery, router
 * solicitation, multicast) or keep state across tunnels (reassembly, fragmentation, lwIP's own
 * timers) is off: packets are checked in packet.h, timers run in timers.h.
 */
#ifndef MANYTUN_ENGINE_STACK_PORT_LWIPOPTS_H
#define MANYTUN_ENGINE_STACK_PORT_LWIPOPTS_H

/* --- System: no threads, no pools of its own ------------------------------------------------ */

#define NO_SYS                    1
#define SYS_LIGHTWEIGHT_PROT      0
#define LWIP_TIMERS               0
#define LWIP_NETCONN              0
#define LWIP_SOCKET               0
#define LWIP_STATS                0
#define MEM_ALIGNMENT             8
#define MEM_LIBC_MALLOC           1
#define MEMP_MEM_MALLOC           1
#define PBUF_POOL_FREE_OOSEQ      0
#define LWIP_HOOK_FILENAME        "hooks.h"
#define LWIP_SINGLE_NETIF         1 /* the one netif is part of the head swap */
#define LWIP_NETIF_TX_SINGLE_PBUF 0

/* --- Protocols ------------------------------------------------------------------------------ */

#define LWIP_ARP                        0
#define LWIP_ETHERNET                   0
#define LWIP_RAW                        0
#define LWIP_UDP                        0
#define LWIP_DNS                        0
#define LWIP_ICMP                       0
#define LWIP_IGMP                       0
#define IP_FORWARD                      0
#define IP_REASSEMBLY                   0
#define IP_FRAG                         0
#define LWIP_IPV4                       1
#define LWIP_IPV6                       1
#define LWIP_ICMP6                      1 /* ip6.c refers to it; no packet gets there */
#define LWIP_IPV6_NUM_ADDRESSES         1 /* none is configured: packet.h knows our addresses */
#define LWIP_IPV6_SCOPES                0
#define LWIP_IPV6_FORWARD               0
#define LWIP_IPV6_FRAG                  0
#define LWIP_IPV6_REASS                 0
#define LWIP_IPV6_MLD                   0
#define LWIP_IPV6_AUTOCONFIG            0
#define LWIP_IPV6_SEND_ROUTER_SOLICIT   0
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS   0
#define LWIP_IPV6_DHCP6                 0
#define LWIP_ND6_QUEUEING               0
#define LWIP_ND6_ALLOW_RA_UPDATES       0
#define LWIP_ND6_TCP_REACHABILITY_HINTS 0
#define LWIP_ND6_NUM_NEIGHBORS          1
#define LWIP_ND6_NUM_DESTINATIONS       1
#define LWIP_ND6_NUM_PREFIXES           1
#define LWIP_ND6_NUM_ROUTERS            1

/* --- Checksums: verified by packet.h before lwIP sees a packet ------------------------------ */

#define CHECKSUM_CHECK_IP     0
#define CHECKSUM_CHECK_TCP    0
#define CHECKSUM_GEN_IP       1
#define CHECKSUM_GEN_TCP      1
#define LWIP_CHECKSUM_ON_COPY 1

/* --- TCP ------------------------------------------------------------------------------------- */

#define LWIP_TCP                   1
#define TCP_MSS                    8960 /* a ceiling: the real one follows the tunnel's MTU */
#define TCP_CALCULATE_EFF_SEND_MSS 1
#define LWIP_WND_SCALE             1
/*
 * Ceilings: window.h and sendqueue.h say how much of them a connection gets. The window is the
 * largest that its scale can tell: 16 MiB, 1.3 Gbit/s at 100 ms.
 */
#define TCP_RCV_SCALE    8
#define TCP_WND          (65535 << TCP_RCV_SCALE)
#define TCP_SND_BUF      (16 * 1024 * 1024)
#define TCP_SND_QUEUELEN 16384
#define TCP_SNDLOWAT     16384
#define TCP_OVERSIZE     TCP_MSS
/*
 * What is out of order is kept in receiver.h; of the rest, which has nobody to read it, lwIP keeps
 * nothing. It does not send selective acknowledgments without that queue of its own.
 */
#define TCP_QUEUE_OOSEQ            1
#define TCP_OOSEQ_PBUFS_LIMIT(pcb) 0
#define LWIP_TCP_SACK_OUT          1
#define LWIP_TCP_TIMESTAMPS        0
#define TCP_LISTEN_BACKLOG         1
#define LWIP_TCP_KEEPALIVE         1
/* 50 ms for delayed ACKs, 100 ms for retransmission: the smallest RTO is then 200 to 300 ms. */
#define TCP_TMR_INTERVAL  50
#define LWIP_TCP_RTO_TIME 1000 /* RFC 6298, 2.1 */
#define TCP_SYNMAXRTX     6    /* 127 s with the back-off of timers.c, as most hosts */
#define TCP_MAXRTX        12
#define TCP_MSL           15000UL
/*
 * A peer that vanished while nothing was being sent is noticed within four minutes, for one
 * 40-byte packet each way every two minutes and connection.
 */
#define TCP_KEEPIDLE_DEFAULT  120000UL
#define TCP_KEEPINTVL_DEFAULT 30000UL
#define TCP_KEEPCNT_DEFAULT   4U

/* The pool sizes that these check do not exist here (MEMP_MEM_MALLOC). */
#define LWIP_DISABLE_MEMP_SANITY_CHECKS 1
#define LWIP_DISABLE_TCP_SANITY_CHECKS  1

#endif
