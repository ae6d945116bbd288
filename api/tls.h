/*
 * tls: the certificate and the key that the API's TCP listeners show, read from files, and read
 * again while they serve. TLS itself is libmicrohttpd's, and GnuTLS's.
 *
 * A process has at most one: GnuTLS asks for a certificate without saying for whom.
 */
#ifndef MANYTUN_API_TLS_H
#define MANYTUN_API_TLS_H

#include <gnutls/abstract.h>

/* The largest file that is read, and the longest chain. */
#define TLS_FILE_MAX  (256 << 10)
#define TLS_CHAIN_MAX 16

/* Which versions are spoken (GnuTLS's priority string). */
#define TLS_PRIORITIES "NORMAL:-VERS-TLS1.0:-VERS-TLS1.1"

struct tls;

/*
 * cert_file is a chain, the server's certificate first, key_file its private key, both PEM; the
 * names are borrowed. 0, or a negative errno with a sentence for a person in error.
 */
int tls_new(const char *cert_file, const char *key_file, struct tls **out, char error[256]);
/* Reads the files again, for connections from now on. On failure all is as it was. */
int tls_reload(struct tls *tls, char error[256]);
/* No listener may be left that uses it. NULL is allowed. */
void tls_free(struct tls *tls);

/* MHD_OPTION_HTTPS_CERT_CALLBACK2. */
gnutls_certificate_retrieve_function3 tls_retrieve;

#endif
