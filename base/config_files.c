/*
 * config_files: files are opened without blocking and read to their end, whatever they are called.
 */
#include "base/config_files.h"

#include "base/json.h"
#include "base/log.h"
#include "base/wgquick.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- Files ------------------------------------------------------------------------------------ */

struct text {
    char *bytes;
    size_t len;
};

static void text_fini(struct text *text)
{
    if (text->bytes != NULL)
        sodium_memzero(text->bytes, text->len);
    free(text->bytes);
    *text = (struct text){0};
}

static int read_descriptor(int fd, size_t max, struct text *out)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    if ((size_t)st.st_size > max)
        return -EFBIG;
    out->bytes = malloc((size_t)st.st_size + 1);
    if (out->bytes == NULL)
        return -ENOMEM;
    while (out->len < (size_t)st.st_size) {
        ssize_t n = read(fd, out->bytes + out->len, (size_t)st.st_size - out->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0) /* it became shorter */
            break;
        out->len += (size_t)n;
    }
    return 0;
}

/* 0, or a negative errno: -EINVAL = no regular file, -EFBIG = too large. */
static int read_file(const char *path, size_t max, struct text *out)
{
    *out = (struct text){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    int rc = read_descriptor(fd, max, out);
    close(fd);
    if (rc < 0)
        text_fini(out);
    return rc;
}

static const char *explain(int rc)
{
    return rc == -EINVAL ? "it is not a file" : strerror(-rc);
}

/* --- Tunnels in wg-quick files ---------------------------------------------------------------- */

/* The path of a file that a document names. 0 or -ENAMETOOLONG. */
static int find_beside(const char *document, const char *file, char out[PATH_MAX])
{
    const char *slash = file[0] == '/' ? NULL : strrchr(document, '/');
    int folder = slash != NULL ? (int)(slash - document) + 1 : 0;
    int len = snprintf(out, PATH_MAX, "%.*s%s", folder, document, file);
    return len < 0 || len >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* Errors of the file are errors of the field that names it. */
static void pass_on(const struct spec_errors *from, const char *file, struct spec_errors *errors)
{
    for (size_t i = 0; i < from->count; i++)
        spec_errors_add(errors, "/wg_quick_file", from->items[i].code, "line %zu of %.60s: %.120s",
                        from->items[i].line, file, from->items[i].detail);
}

static int parse_wg_quick(const struct text *text, const char *name, const char *file,
                          struct spec_tunnel *out, struct spec_errors *errors)
{
    struct spec_errors *found = calloc(2, sizeof(*found)); /* errors and warnings */
    if (found == NULL)
        return -ENOMEM;
    const struct wgquick_source source = {.text = text->bytes, .len = text->len, .name = name};
    int rc = wgquick_read(&source, out, &found[0], &found[1]);
    pass_on(&found[0], file, errors);
    for (size_t i = 0; i < found[1].count; i++)
        log_warn("%s:%zu: %s", file, found[1].items[i].line, found[1].items[i].detail);
    free(found);
    return rc;
}

static int read_wg_quick(void *ctx, const char *name, const char *file, struct spec_tunnel *out,
                         struct spec_errors *errors)
{
    const char *document = ctx;
    char path[PATH_MAX];
    struct text text = {0};
    int rc = find_beside(document, file, path);
    if (rc == 0)
        rc = read_file(path, WGQUICK_TEXT_MAX, &text);
    if (rc == -ENOMEM)
        return rc;
    if (rc < 0) {
        spec_errors_add(errors, "/wg_quick_file", "unreadable_file", "%.100s cannot be read: %s",
                        file, explain(rc));
        return -EINVAL;
    }
    rc = parse_wg_quick(&text, name, file, out, errors);
    text_fini(&text);
    return rc;
}

/* --- Documents -------------------------------------------------------------------------------- */

static void add_error(struct config_files *files, unsigned document, const char *code,
                      const char *detail)
{
    const struct spec_place place = {.document = document};
    size_t first = files->errors.count;
    spec_errors_add(&files->errors, "", code, "%s", detail);
    spec_errors_place(&files->errors, first, &place);
}

/* The line and the column of an offset, which count from 1. */
static void locate(const struct text *text, size_t offset, struct spec_error *error)
{
    error->line = 1;
    error->column = 1;
    for (size_t i = 0; i < offset && i < text->len; i++) {
        error->column++;
        if (text->bytes[i] != '\n')
            continue;
        error->line++;
        error->column = 1;
    }
}

static int parse_document(struct config_files *files, unsigned document, const struct text *text)
{
    struct json_error error;
    const struct config_source source = {
        .document = document,
        .read_wg_quick = read_wg_quick,
        .ctx = files->names[document],
    };
    cJSON *json = json_read(text->bytes, text->len, &error);
    if (json == NULL && error.no_memory)
        return -ENOMEM;
    if (json == NULL) {
        size_t first = files->errors.count;
        add_error(files, document, "invalid_json", error.detail);
        if (files->errors.count > first)
            locate(text, error.offset, &files->errors.items[first]);
        return -EINVAL;
    }
    int rc = config_read(&files->config, json, &source, &files->errors);
    json_free(json);
    return rc;
}

static int read_document(struct config_files *files, unsigned document)
{
    struct text text;
    int rc = read_file(files->names[document], CONFIG_FILES_SIZE_MAX, &text);
    if (rc == -ENOMEM)
        return rc;
    if (rc < 0) {
        char detail[128];
        snprintf(detail, sizeof(detail), "cannot be read: %s", explain(rc));
        add_error(files, document, "unreadable_file", detail);
        return -EINVAL;
    }
    rc = parse_document(files, document, &text);
    text_fini(&text);
    return rc;
}

/* --- Folders ---------------------------------------------------------------------------------- */

/* Takes the name. 0, -E2BIG or -ENOMEM. */
static int add_name(struct config_files *files, char *name)
{
    if (name == NULL)
        return -ENOMEM;
    if (files->names_count == CONFIG_FILES_MAX) {
        free(name);
        return -E2BIG;
    }
    files->names[files->names_count++] = name;
    return 0;
}

static bool is_document(const char *name)
{
    size_t len = strlen(name);
    return name[0] != '.' && len > 5 && strcmp(name + len - 5, ".json") == 0;
}

static int compare_names(const void *a, const void *b)
{
    const char *const *left = a;
    const char *const *right = b;
    return strcmp(*left, *right);
}

static int list_folder(struct config_files *files, const char *path, DIR *folder)
{
    int rc = 0;
    const struct dirent *entry;
    while (rc == 0 && (entry = readdir(folder)) != NULL) {
        char *name = NULL;
        if (is_document(entry->d_name))
            rc = add_name(files, asprintf(&name, "%s/%s", path, entry->d_name) < 0 ? NULL : name);
    }
    qsort(files->names, files->names_count, sizeof(files->names[0]), compare_names);
    return rc;
}

/* The documents' names. A path that is no folder is a document; that it is none is seen later. */
static int list_documents(struct config_files *files, const char *path)
{
    DIR *folder = opendir(path);
    if (folder == NULL)
        return add_name(files, strdup(path));
    int rc = list_folder(files, path, folder);
    closedir(folder);
    return rc;
}

/* --- All of it -------------------------------------------------------------------------------- */

static int check(struct config_files *files)
{
    int rc = config_check(&files->config, &files->errors);
    if (rc != -ENOMEM && config_check_forwards(&files->config, NULL, NULL, &files->errors) < 0)
        rc = -EINVAL;
    return rc;
}

static int read_documents(struct config_files *files)
{
    int rc = 0;
    for (unsigned i = 0; i < files->names_count; i++) {
        int failed = read_document(files, i);
        if (failed == -ENOMEM)
            return failed;
        rc = failed < 0 ? failed : rc;
    }
    return rc == 0 ? check(files) : rc;
}

int config_files_read(const char *path, struct config_files *out)
{
    *out = (struct config_files){0};
    int rc = list_documents(out, path);
    if (rc == -E2BIG) {
        char detail[128];
        snprintf(detail, sizeof(detail), "its folder has more than %d files *.json",
                 CONFIG_FILES_MAX);
        add_error(out, 0, "too_many", detail);
        return -EINVAL;
    }
    return rc < 0 ? rc : read_documents(out);
}

void config_files_fini(struct config_files *files)
{
    config_fini(&files->config);
    for (size_t i = 0; i < files->names_count; i++)
        free(files->names[i]);
    files->names_count = 0;
}

const char *config_files_print(const struct config_files *files, const struct spec_error *error,
                               char line[CONFIG_FILES_LINE])
{
    const char *name =
        error->document < files->names_count ? files->names[error->document] : "configuration";
    if (error->line > 0)
        snprintf(line, CONFIG_FILES_LINE, "%.255s:%zu:%zu: %s", name, error->line, error->column,
                 error->detail);
    else
        snprintf(line, CONFIG_FILES_LINE, "%.255s: %s%s%s", name, error->pointer,
                 error->pointer[0] != '\0' ? ": " : "", error->detail);
    return line;
}
