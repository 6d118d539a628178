/* links: resolves names to objects. Files of this program contain only hard links, so any
 * other link (a soft link, a link to another file) is rejected before HDF5 follows it:
 * its target may be a pipe, or a file that must not be read. Lists are limited, because
 * their length comes from the file. */
#include "h5_internal.h"

#include <stdlib.h>
#include <string.h>

#if H5_VERSION_GE(1, 12, 0)
#define LINK_ADDRESS(info) (info)->u.token
#else
#define LINK_ADDRESS(info) (info)->u.address
#endif

const char *h5_component_end(const char *at)
{
    at += strspn(at, "/");
    return *at ? at + strcspn(at, "/") : NULL;
}

/* True if the first `length` bytes of a path name a link; *kind is its type. The links to
 * all groups above it must be known to be hard. */
static bool get_link_type(const struct h5_file *file, const char *name, size_t length,
                          H5L_type_t *kind)
{
    H5L_info_t info;
    char *prefix = strndup(name, length);
    bool found = prefix && H5Lget_info(file->id, prefix, &info, H5P_DEFAULT) >= 0;
    free(prefix);
    *kind = found ? info.type : H5L_TYPE_ERROR;
    return found;
}

bool h5_has_link(const struct h5_file *file, const char *name, size_t length)
{
    H5L_type_t kind;
    return get_link_type(file, name, length, &kind);
}

/* Follows the path while its links are hard: stops at the first link that is missing or
 * of another type. */
static bool follow(const struct h5_file *file, const char *name, H5L_type_t *kind)
{
    bool found = true;
    *kind = H5L_TYPE_HARD;
    for (const char *end = h5_component_end(name); end && found && *kind == H5L_TYPE_HARD;
         end = h5_component_end(end))
        found = get_link_type(file, name, (size_t)(end - name), kind);
    H5Eclear2(H5E_DEFAULT);
    return found;
}

bool h5_has(const struct h5_file *file, const char *name)
{
    H5_HOLD_LOCK;
    H5L_type_t kind;
    return follow(file, name, &kind);
}

static enum status refuse_link(const struct h5_file *file, const char *name,
                               H5L_type_t kind)
{
    return status_fail(STATUS_FAILED, "%s: %s: %s (expected a hard link)", file->path,
                       name,
                       kind == H5L_TYPE_SOFT       ? "a soft link"
                       : kind == H5L_TYPE_EXTERNAL ? "a link to another file"
                                                   : "a link of an unknown kind");
}

enum status h5_check_links(const struct h5_file *file, const char *name)
{
    H5L_type_t kind;
    if (file->partial) /* all its links were made by this unit */
        return STATUS_OK;
    if (!follow(file, name, &kind))
        return status_fail(STATUS_FAILED, "%s: %s: not in the file", file->path, name);
    return kind == H5L_TYPE_HARD ? STATUS_OK : refuse_link(file, name, kind);
}

/* ---- lists ---- */

void h5_members_free(struct h5_members *members)
{
    for (size_t i = 0; i < members->count; i++)
        free(members->list[i].name);
    free(members->list);
    *members = (struct h5_members){0};
}

static herr_t add_member(hid_t group, const char *name, const H5L_info_t *info, void *to)
{
    (void)group;
    struct h5_members *members = to;
    struct h5_member *member = &members->list[members->count];
    char *copy = members->count < H5_MAX_MEMBERS ? strdup(name) : NULL;
    if (!copy)
        return H5_ITER_ERROR;
    *member = (struct h5_member){.name = copy, .is_hard = info->type == H5L_TYPE_HARD};
    if (member->is_hard)
        memcpy(member->address, &LINK_ADDRESS(info), sizeof LINK_ADDRESS(info));
    members->count++;
    return H5_ITER_CONT;
}

static enum status list_group(const struct h5_file *file, const char *group, hid_t id,
                              struct h5_members *out)
{
    H5G_info_t info = {.nlinks = 0};
    if (H5Gget_info(id, &info) < 0)
        return h5_fail(file, group, "can't list the group");
    if (info.nlinks > H5_MAX_MEMBERS)
        return status_fail(STATUS_FAILED, "%s: %s: %llu members (at most %d)", file->path,
                           group, (unsigned long long)info.nlinks, H5_MAX_MEMBERS);
    out->list = calloc(H5_MAX_MEMBERS, sizeof *out->list);
    if (!out->list)
        return status_fail(STATUS_FAILED, "%s: %s: out of memory", file->path, group);
    hsize_t at = 0;
    if (H5Literate(id, H5_INDEX_NAME, H5_ITER_INC, &at, add_member, out) < 0)
        return h5_fail(file, group, "can't list the group");
    return STATUS_OK;
}

enum status h5_list_members(const struct h5_file *file, const char *group,
                            struct h5_members *out)
{
    *out = (struct h5_members){0};
    enum status status = h5_check_links(file, group);
    if (status != STATUS_OK)
        return status;
    hid_t id = H5Gopen2(file->id, group, H5P_DEFAULT);
    if (id < 0)
        return h5_fail(file, group, "can't list the group");
    status = list_group(file, group, id, out);
    H5Gclose(id);
    if (status != STATUS_OK)
        h5_members_free(out);
    return status;
}

enum status h5_list(const struct h5_file *file, const char *group, char ***names,
                    size_t *count)
{
    H5_HOLD_LOCK;
    *names = NULL;
    *count = 0;
    struct h5_members members;
    enum status status = h5_list_members(file, group, &members);
    if (status != STATUS_OK)
        return status;
    *names = calloc(members.count + 1, sizeof **names);
    for (size_t i = 0; *names && i < members.count; i++) {
        (*names)[i] = members.list[i].name;
        members.list[i].name = NULL; /* now owned by the caller */
    }
    *count = *names ? members.count : 0;
    h5_members_free(&members);
    return *names
               ? STATUS_OK
               : status_fail(STATUS_FAILED, "%s: %s: out of memory", file->path, group);
}
