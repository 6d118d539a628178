/* request: see the header. */
#include "request.h"

#include "remi.h"

static int count_programs(const struct program_set *set)
{
    int count = 0;
    for (int program = 0; program < PROGRAMS; program++)
        count += set->programs[program];
    return count;
}

static enum status check_metre(const struct encoding *encoding, struct metre metre)
{
    int numerator = metre.numerator, denominator = 1 << metre.denominator_log2;
    if (numerator == 0 || !encoding->has_bars)
        return STATUS_OK;
    if (!remi_has(encoding, REMI_TIME_SIGNATURE))
        return numerator == DEFAULT_NUMERATOR &&
                       metre.denominator_log2 == DEFAULT_DENOMINATOR_LOG2
                   ? STATUS_OK
                   : status_fail(STATUS_MISUSE,
                                 "time signature %d/%d: all bars of this model are 4/4 "
                                 "(data.time_signatures = no)",
                                 numerator, denominator);
    int index = remi_find_time_signature(metre.numerator, metre.denominator_log2);
    if (index >= 0 && remi_time_signature(index).numerator == metre.numerator)
        return STATUS_OK;
    return status_fail(
        STATUS_MISUSE,
        "time signature %d/%d: not in the model's vocabulary (expected 1/2 "
        "to 4/2, 1/4 to 12/4 or 1/8 to 16/8)",
        numerator, denominator);
}

static enum status check_programs(const struct encoding *encoding,
                                  const struct program_set *programs)
{
    int count = count_programs(programs);
    if (programs->drums && !encoding->keeps_drums)
        return status_fail(STATUS_MISUSE,
                           "percussion requested, but this model has none (data.drums = "
                           "drop)");
    if (count > 1 && !encoding->keeps_programs)
        return status_fail(STATUS_MISUSE,
                           "%d programs requested, but this model has merged them into "
                           "one instrument (data.programs = merge): request one program",
                           count);
    return STATUS_OK;
}

enum status request_check(const struct encoding *encoding,
                          const struct music_request *request)
{
    enum status status = check_metre(encoding, request->metre);
    if (status == STATUS_OK && request->restricts_programs)
        status = check_programs(encoding, &request->programs);
    return status;
}

int request_merged_program(const struct encoding *encoding,
                           const struct music_request *request)
{
    int program = 0;
    if (encoding->keeps_programs || !request->restricts_programs)
        return -1;
    while (program < PROGRAMS && !request->programs.programs[program])
        program++;
    return program < PROGRAMS ? program : -1;
}

bool request_has_program(const struct encoding *encoding,
                         const struct music_request *request, int program)
{
    if (!request->restricts_programs)
        return true;
    if (!encoding->keeps_programs)
        return count_programs(&request->programs) > 0;
    return program >= 0 && program < PROGRAMS && request->programs.programs[program];
}

bool request_has_drums(const struct music_request *request)
{
    return !request->restricts_programs || request->programs.drums;
}
