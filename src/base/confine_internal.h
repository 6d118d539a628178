/* confine: shared by confine*.c. */
#ifndef TUTTI_BASE_CONFINE_INTERNAL_H
#define TUTTI_BASE_CONFINE_INTERNAL_H

#include "confine.h"

/* Bytes stored in the inputs and in the directory of an input file: the basis of the
 * memory limit. */
uint64_t confine_stored_bytes(const struct confine_inputs *inputs);

/* Denies this process all writes to the file system, and all reads except of the inputs
 * and, if inputs->computes, shared libraries. Requires no_new_privs. No effect without
 * Landlock. */
void confine_files(const struct confine_inputs *inputs);

/* Denies this process all system calls except those on a list; resource limits can be
 * changed only if `limits`. Requires no_new_privs. No effect without seccomp. */
void confine_calls(bool limits);

#endif
