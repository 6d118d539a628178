/* fuzz_midi: midi_read and midi_apply_pedal on arbitrary bytes. The limits depend on the
 * input size, so that each of them is reached. */
#include "fuzz.h"
#include "../midi_invariants.h"

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count;
    (void)arguments;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct midi_file file; /* reused, as the program does; reachable, so no leak */
    struct midi_limits limits = {0};
    if (size % 8 == 1)
        limits = (struct midi_limits){
            .max_bytes = 4000, .max_notes = 50, .min_notes = 1, .max_seconds = 60};
    const char *fault = midi_read_fault(bytes, size, &limits, &file);
    if (fault)
        fuzz_fail("not %s", fault);
    return 0;
}
