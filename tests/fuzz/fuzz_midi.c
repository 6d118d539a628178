/* fuzz_midi: midi_read and midi_apply_pedal on any bytes. The limits come from the size,
 * so that all of them are met. */
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
    static struct midi_file file; /* reused, as in real life; reachable: no leak */
    struct midi_limits limits = {0};
    if (size % 8 == 1)
        limits = (struct midi_limits){
            .max_bytes = 4000, .max_notes = 50, .min_notes = 1, .max_seconds = 60};
    const char *fault = midi_read_fault(bytes, size, &limits, &file);
    if (fault)
        fuzz_fail("not %s", fault);
    return 0;
}
