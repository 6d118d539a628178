/* sandbox: shared by sandbox*.c. */
#ifndef TUTTI_BASE_SANDBOX_INTERNAL_H
#define TUTTI_BASE_SANDBOX_INTERNAL_H

#include "sandbox.h"

/* Bytes stored in the inputs and in the directory of an input file: the basis of the
 * memory limit. */
uint64_t sandbox_input_bytes(const struct sandbox_inputs *inputs);

/* Denies this process all writes to the file system, and all reads except of the inputs
 * and, if inputs->computes, shared libraries. Requires no_new_privs. No effect without
 * Landlock. */
void sandbox_restrict_files(const struct sandbox_inputs *inputs);

/* Denies this process all system calls except those on a list; resource limits can be
 * changed and threads started only if it `computes`. Requires no_new_privs. No effect
 * without seccomp. */
void sandbox_restrict_syscalls(bool computes);

#endif
