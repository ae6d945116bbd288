/*
 * tls: owns the certificates and the key. A handshake gets copies, because it can go on after they
 * were read again.
 */
#include "api/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/x509.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct material {
    gnutls_x509_crt_t chain[TLS_CHAIN_MAX];
    unsigned chain_count;
    gnutls_x509_privkey_t key;
};

struct tls {
    const char *cert_file;
    const char *key_file;
    struct material material;
};

/* What tls_retrieve() serves. */
static const struct tls *served;

static void free_material(struct material *material)
{
    for (unsigned i = 0; i < material->chain_count; i++)
        gnutls_x509_crt_deinit(material->chain[i]);
    if (material->key != NULL)
        gnutls_x509_privkey_deinit(material->key);
    *material = (struct material){0};
}

/* --- Files ------------------------------------------------------------------------------------ */

static int explain(char error[256], int rc, const char *path, const char *why)
{
    snprintf(error, 256, "TLS: %.150s: %s", path, why);
    return rc;
}

/* The contents of a file, to be freed wiped. 0, -EFBIG or -errno. */
static int read_file(const char *path, gnutls_datum_t *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    unsigned char *data = malloc(TLS_FILE_MAX);
    size_t used = 0;
    ssize_t n = data != NULL ? 0 : -1;
    while (data != NULL && used < TLS_FILE_MAX &&
           (n = read(fd, data + used, TLS_FILE_MAX - used)) > 0)
        used += (size_t)n;
    int rc = n < 0 ? -errno : used == TLS_FILE_MAX ? -EFBIG : 0;
    close(fd);
    *out = (gnutls_datum_t){.data = data, .size = (unsigned)used};
    return rc;
}

static void free_file(gnutls_datum_t *file)
{
    if (file->data != NULL)
        sodium_memzero(file->data, file->size);
    free(file->data);
    *file = (gnutls_datum_t){0};
}

static int read_chain(struct material *material, const char *path, char error[256])
{
    gnutls_datum_t file = {0};
    int rc = read_file(path, &file);
    if (rc < 0) {
        free_file(&file);
        return explain(error, rc, path, strerror(-rc));
    }
    unsigned count = TLS_CHAIN_MAX;
    int result = gnutls_x509_crt_list_import(material->chain, &count, &file, GNUTLS_X509_FMT_PEM,
                                             GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED);
    free_file(&file);
    if (result < 1)
        return explain(error, -EINVAL, path,
                       result < 0 ? gnutls_strerror(result) : "there is no certificate in it");
    material->chain_count = (unsigned)result;
    return 0;
}

static int read_key(struct material *material, const char *path, char error[256])
{
    gnutls_datum_t file = {0};
    int rc = read_file(path, &file);
    if (rc < 0) {
        free_file(&file);
        return explain(error, rc, path, strerror(-rc));
    }
    int result = gnutls_x509_privkey_init(&material->key);
    if (result == 0)
        result = gnutls_x509_privkey_import2(material->key, &file, GNUTLS_X509_FMT_PEM, NULL,
                                             GNUTLS_PKCS_PLAIN);
    free_file(&file);
    return result < 0 ? explain(error, -EINVAL, path, gnutls_strerror(result)) : 0;
}

/* The key must be the one of the first certificate. */
static int check_pair(const struct material *material, const char *key_file, char error[256])
{
    unsigned char of_cert[64];
    unsigned char of_key[64];
    size_t cert_len = sizeof(of_cert);
    size_t key_len = sizeof(of_key);
    if (gnutls_x509_crt_get_key_id(material->chain[0], 0, of_cert, &cert_len) == 0 &&
        gnutls_x509_privkey_get_key_id(material->key, 0, of_key, &key_len) == 0 &&
        cert_len == key_len && memcmp(of_cert, of_key, key_len) == 0)
        return 0;
    return explain(error, -EINVAL, key_file, "is not the key of the first certificate");
}

static int read_material(const struct tls *tls, struct material *out, char error[256])
{
    *out = (struct material){0};
    int rc = read_chain(out, tls->cert_file, error);
    if (rc == 0)
        rc = read_key(out, tls->key_file, error);
    if (rc == 0)
        rc = check_pair(out, tls->key_file, error);
    if (rc < 0)
        free_material(out);
    return rc;
}

/* --- Life cycle ------------------------------------------------------------------------------- */

int tls_new(const char *cert_file, const char *key_file, struct tls **out, char error[256])
{
    struct tls *tls = calloc(1, sizeof(*tls));
    if (tls == NULL)
        return explain(error, -ENOMEM, cert_file, "out of memory");
    tls->cert_file = cert_file;
    tls->key_file = key_file;
    int rc = read_material(tls, &tls->material, error);
    if (rc < 0) {
        free(tls);
        return rc;
    }
    served = tls;
    *out = tls;
    return 0;
}

int tls_reload(struct tls *tls, char error[256])
{
    struct material material;
    int rc = read_material(tls, &material, error);
    if (rc < 0)
        return rc;
    free_material(&tls->material);
    tls->material = material;
    return 0;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    if (served == tls)
        served = NULL;
    free_material(&tls->material);
    free(tls);
}

/* --- Handshakes ------------------------------------------------------------------------------- */

static void free_copies(gnutls_pcert_st *certs, unsigned count, gnutls_privkey_t key)
{
    for (unsigned i = 0; i < count; i++)
        gnutls_pcert_deinit(&certs[i]);
    gnutls_free(certs);
    if (key != NULL)
        gnutls_privkey_deinit(key);
}

/* GnuTLS frees what it is given here (GNUTLS_CERT_RETR_DEINIT_ALL). */
int tls_retrieve(gnutls_session_t session, const struct gnutls_cert_retr_st *info,
                 gnutls_pcert_st **certs, unsigned *certs_count, gnutls_ocsp_data_st **ocsp,
                 unsigned *ocsp_count, gnutls_privkey_t *key, unsigned *flags)
{
    (void)session;
    (void)info;
    if (served == NULL)
        return -1;
    const struct material *material = &served->material;
    gnutls_pcert_st *copies = gnutls_calloc(material->chain_count, sizeof(*copies));
    gnutls_privkey_t key_copy = NULL;
    unsigned count = 0;
    bool ok = copies != NULL && gnutls_privkey_init(&key_copy) == 0 &&
              gnutls_privkey_import_x509(key_copy, material->key, GNUTLS_PRIVKEY_IMPORT_COPY) == 0;
    while (ok && count < material->chain_count) {
        ok = gnutls_pcert_import_x509(&copies[count], material->chain[count], 0) == 0;
        count += ok ? 1 : 0;
    }
    if (!ok) {
        free_copies(copies, count, key_copy);
        return -1;
    }
    *certs = copies;
    *certs_count = count;
    *ocsp = NULL;
    *ocsp_count = 0;
    *key = key_copy;
    *flags = GNUTLS_CERT_RETR_DEINIT_ALL;
    return 0;
}
