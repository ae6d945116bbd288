/*
 * spec: what a tunnel and a forward are.
 *
 * Plain structs, one validator, one JSON codec (docs: openapi.yaml), shared by engine, store, API
 * and command line. The wire names of the fields are the members' names here.
 */
#ifndef MANYTUN_BASE_SPEC_H
#define MANYTUN_BASE_SPEC_H

#include "base/inet.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stat;

#define SPEC_NAME_MAX 63 /* ^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$ */
#define SPEC_KEY_LEN  32 /* a WireGuard key, raw */
#define SPEC_KEY_TEXT 45 /* the same in base64, with the terminating NUL */

/* Limits of one definition; each is an error with a pointer when passed. */
#define SPEC_ADDRESSES_MAX           16     /* per tunnel */
#define SPEC_PEERS_MAX               16384  /* per tunnel */
#define SPEC_ALLOWED_IPS_MAX         131072 /* per peer */
#define SPEC_TUNNEL_ALLOWED_IPS_MAX  262144 /* per tunnel */
#define SPEC_MTU_MIN                 576    /* 1280 when an IPv6 address is configured (RFC 8200) */
#define SPEC_MTU_MAX                 65455  /* 65535 - 80 bytes of overhead */
#define SPEC_MTU_DEFAULT             1420
#define SPEC_CONNECT_TIMEOUT_DEFAULT 10 /* seconds */
#define SPEC_CONNECT_TIMEOUT_MAX     300
#define SPEC_IDLE_TIMEOUT_MAX        604800 /* a week, in seconds */

struct spec_peer {
    char name[SPEC_NAME_MAX + 1]; /* generated ("peer-1") when left out */
    uint8_t public_key[SPEC_KEY_LEN];
    bool has_preshared_key;
    uint8_t preshared_key[SPEC_KEY_LEN];
    char endpoint_host[INET_HOST_TEXT]; /* "" = none: the peer must call us */
    uint16_t endpoint_port;
    struct inet_prefix *allowed_ips; /* masked */
    size_t allowed_ips_count;
    uint16_t keepalive_seconds; /* 0 = off */
};

/* How TCP connections through a tunnel find out what the path takes (engine/stack/congestion.h). */
enum spec_congestion { SPEC_CUBIC, SPEC_BBR };

struct spec_tunnel {
    char name[SPEC_NAME_MAX + 1];
    uint8_t private_key[SPEC_KEY_LEN];
    struct inet_prefix addresses[SPEC_ADDRESSES_MAX]; /* of the virtual interface */
    size_t addresses_count;
    uint16_t mtu;
    enum spec_congestion congestion_control; /* of connections that begin from now on */
    uint16_t listen_port;                    /* outer UDP; 0 = any */
    /* Where the outer sockets are bound; AF_UNSPEC = the wildcard of both families. */
    struct inet_addr listen_address;
    bool required; /* the service is not ready without it, if it is asked to look (--ready-when) */
    struct spec_peer *peers;
    size_t peers_count;
};

/* Who defines an object: its definition is changed there and nowhere else. Values are stored. */
enum spec_source { SPEC_SOURCE_API = 0, SPEC_SOURCE_FILE = 1 };

enum spec_direction { SPEC_LOCAL /* ssh -L */, SPEC_REMOTE /* ssh -R */ };
enum spec_protocol { SPEC_TCP, SPEC_UDP };

struct spec_forward {
    char name[SPEC_NAME_MAX + 1];   /* generated when left out */
    char tunnel[SPEC_NAME_MAX + 1]; /* the tunnel's name */
    enum spec_direction direction;
    enum spec_protocol protocol;
    struct inet_addr listen_address;
    uint16_t listen_port; /* 0 = a free one is chosen */
    struct inet_addr target_address;
    uint16_t target_port;
    bool enabled;
    uint32_t connect_timeout_seconds;
    uint32_t idle_timeout_seconds; /* 0 = never */
};

/* --- What is wrong with a definition: all of it, each with a pointer ----------------------- */

#define SPEC_ERRORS_MAX 64

struct spec_error {
    char pointer[96];  /* JSON pointer into the definition, "" = the whole */
    const char *code;  /* stable, snake_case: "required", "unknown_field", "invalid_key", … */
    char detail[192];  /* a sentence for a person: what is wrong and what would be right */
    size_t line;       /* of the file that it is about, from 1; 0 = of no file */
    size_t column;     /* in bytes, from 1; 0 = it is about the whole line */
    unsigned document; /* which, of several that are read as one (config.h) */
};

struct spec_errors {
    struct spec_error items[SPEC_ERRORS_MAX];
    size_t count; /* stops at SPEC_ERRORS_MAX */
};

void spec_errors_add(struct spec_errors *errors, const char *pointer, const char *code,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Where a definition is: at the index of a list ("/tunnels") of a document. Zeroed = it is one. */
struct spec_place {
    unsigned document;
    const char *list;
    size_t index;
};

/* The errors from `first` on are about the definition at this place: makes them say so. */
void spec_errors_place(struct spec_errors *errors, size_t first, const struct spec_place *place);

/* --- Life cycle ----------------------------------------------------------------------------- */

/* Frees what the struct points to and wipes every secret; the struct becomes all zero. */
void spec_tunnel_fini(struct spec_tunnel *tunnel);
/* A deep copy. 0 or -ENOMEM. */
int spec_tunnel_copy(struct spec_tunnel *out, const struct spec_tunnel *tunnel);
/* The same of one peer. */
void spec_peer_fini(struct spec_peer *peer);
int spec_peer_copy(struct spec_peer *out, const struct spec_peer *peer);

/*
 * Puts a peer in place of the one there, or behind the last (place = peers_count). The peer is
 * moved from and zeroed on success. 0; -E2BIG beyond SPEC_PEERS_MAX; -ENOMEM.
 */
int spec_tunnel_set_peer(struct spec_tunnel *tunnel, size_t place, struct spec_peer *peer);
void spec_tunnel_remove_peer(struct spec_tunnel *tunnel, size_t place);

/* --- Validation ------------------------------------------------------------------------------ */

/*
 * What no single field shows: an MTU too small for IPv6, a peer with the tunnel's own key, names,
 * keys or allowed IPs that two peers share. Whoever fills a struct by hand calls these;
 * the codec below already has. 0; -EINVAL with at least one error added; -ENOMEM.
 */
int spec_tunnel_check(const struct spec_tunnel *tunnel, struct spec_errors *errors);
int spec_forward_check(const struct spec_forward *forward, struct spec_errors *errors);
/* What must hold between a forward and the tunnel of the name that it gives, NULL = none has it. */
void spec_forward_check_tunnel(const struct spec_forward *forward, const struct spec_tunnel *tunnel,
                               struct spec_errors *errors);
/* Whether one of the tunnel's addresses is of this family: targets of others are out of reach. */
bool spec_tunnel_has_family(const struct spec_tunnel *tunnel, sa_family_t family);

/* --- JSON codec (spec_from_json.c, spec_to_json.c) ------------------------------------------- */

/*
 * Reads a definition, strictly: unknown fields, wrong types and out-of-range values are errors,
 * and all of them are reported. Host bits of allowed IPs are masked, defaults filled in.
 * private_key_file and preshared_key_file are read here (a file of at most 4 KiB).
 * Returns 0; -EINVAL with at least one error added; -ENOMEM. On failure *out is all zero.
 */
int spec_tunnel_from_json(const cJSON *json, struct spec_tunnel *out, struct spec_errors *errors);
int spec_forward_from_json(const cJSON *json, struct spec_forward *out, struct spec_errors *errors);

enum spec_secrets {
    SPEC_REDACTED, /* public_key and has_preshared_key in place of the secrets: for readers */
    SPEC_COMPLETE, /* with private_key and preshared_key: for the worker channel only */
    SPEC_WITHOUT_SECRETS, /* neither: for the store, which keeps the secrets apart */
};

/* Writes a definition. Returns an object that the caller frees, or NULL (out of memory). */
cJSON *spec_tunnel_to_json(const struct spec_tunnel *tunnel, enum spec_secrets secrets);
cJSON *spec_peer_to_json(const struct spec_peer *peer, enum spec_secrets secrets);
cJSON *spec_forward_to_json(const struct spec_forward *forward);

/* --- Pieces that others parse too ----------------------------------------------------------- */

bool spec_name_valid(const char *name);
/* Strict, constant-time base64 of exactly 32 bytes (44 characters). 0 or -EINVAL. */
int spec_key_parse(const char *text, uint8_t out[SPEC_KEY_LEN]);
char *spec_key_print(const uint8_t key[SPEC_KEY_LEN], char buf[SPEC_KEY_TEXT]);
/*
 * Reads a key from a file, white space around it ignored. 0, -errno of the file, or -EINVAL.
 * *shared is what spec_key_file_shared() says of it.
 */
int spec_key_read_file(const char *path, uint8_t out[SPEC_KEY_LEN], bool *shared);
/*
 * Whether more users than need be may use such a file. One of another owner is ours to read by its
 * group or an access list, as Kubernetes' secrets and systemd's credentials are (mode 0440).
 */
bool spec_key_file_shared(const struct stat *st);
const char *spec_source_name(enum spec_source source);             /* "api", "file" */
const char *spec_protocol_name(enum spec_protocol protocol);       /* "tcp", "udp" */
const char *spec_direction_name(enum spec_direction direction);    /* "local", "remote" */
const char *spec_congestion_name(enum spec_congestion congestion); /* "cubic", "bbr" */

#endif
