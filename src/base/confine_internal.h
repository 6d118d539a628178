/* confine: shared by confine*.c. */
#ifndef TUTTI_BASE_CONFINE_INTERNAL_H
#define TUTTI_BASE_CONFINE_INTERNAL_H

#include "confine.h"

/* Bytes stored in the inputs and, for a file, beside it: an upper bound of what reading
 * them can take. */
uint64_t confine_stored_bytes(const struct confine_inputs *inputs);

/* Denies this process all writing to the file system, and reading of anything but the
 * inputs and, if inputs->computes, shared libraries. Needs no_new_privs. Does nothing
 * without Landlock. */
void confine_files(const struct confine_inputs *inputs);

/* Denies this process all system calls but those on a list; resource limits can be
 * changed only if `limits`. Needs no_new_privs. Does nothing without seccomp. */
void confine_calls(bool limits);

#endif
