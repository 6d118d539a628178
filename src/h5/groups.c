/* groups: creates groups, and sets the object header properties that all objects
 * share. */
#include "h5_internal.h"

#include <stdlib.h>
#include <string.h>

herr_t h5_set_object_properties(hid_t properties)
{
    if (H5Pset_obj_track_times(properties, false) < 0)
        return -1;
    /* attributes stay in the object header, whose checksum covers them; in "dense"
     * storage, large ones would have no checksum */
    return H5Pset_attr_phase_change(properties, UINT16_MAX, 0);
}

/* Links are also kept in the object header: HDF5 1.10 crashes when it lists "dense" links
 * in a damaged file. */
herr_t h5_set_group_properties(hid_t properties)
{
    if (h5_set_object_properties(properties) < 0)
        return -1;
    return H5Pset_link_phase_change(properties, UINT16_MAX, 0);
}

static enum status create_group(struct h5_file *file, const char *name, size_t length)
{
    char *prefix = strndup(name, length);
    if (!prefix)
        return status_fail(STATUS_FAILED, "%s: out of memory", file->path);
    hid_t creation = H5Pcreate(H5P_GROUP_CREATE);
    h5_set_group_properties(creation);
    hid_t group = H5Gcreate2(file->id, prefix, H5P_DEFAULT, creation, H5P_DEFAULT);
    enum status status = group < 0 ? h5_fail(file, prefix, "can't create the group")
                                   : h5_write_status(file);
    if (group >= 0)
        H5Gclose(group);
    H5Pclose(creation);
    free(prefix);
    return status;
}

static enum status create_groups(struct h5_file *file, const char *name,
                                 bool include_last)
{
    enum status status = STATUS_OK;
    for (const char *end = h5_component_end(name); end && status == STATUS_OK;) {
        const char *next = h5_component_end(end);
        if (!next && !include_last)
            break;
        if (!h5_has_link(file, name, (size_t)(end - name)))
            status = create_group(file, name, (size_t)(end - name));
        end = next;
    }
    return status;
}

enum status h5_create_parents(struct h5_file *file, const char *name)
{
    return create_groups(file, name, false);
}

enum status h5_group(struct h5_file *file, const char *name)
{
    H5_HOLD_LOCK;
    return create_groups(file, name, true);
}
