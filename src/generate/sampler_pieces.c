/* sampler_pieces: the candidate that is kept for each piece, and its notes. The tokens are
 * decoded once all pieces are complete, so that the notes depend only on the encoding. */
#include <math.h>
#include <stdlib.h>

#include "sampler_internal.h"
#include "midi/tempo_map.h"

/* ---- the most typical candidate ---- */

static int compare_doubles(const void *left, const void *right)
{
    const double *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

static double per_token(const struct row *row)
{
    return row->surprisal / (double)row->position;
}

/* Whether a candidate counts: if any of the piece's candidates ended as they must, only
 * those. */
static bool is_eligible(const struct sampler *sampler, size_t index, bool any_ended)
{
    bool ended = sampler->rows[index].outcome == SAMPLER_ENDED;
    return ended || !any_ended || sampler->settings->end != END_REQUIRE;
}

/* The row of the candidate that is kept for a piece. */
static size_t choose_candidate(const struct sampler *sampler, size_t piece)
{
    bool any_ended = false;
    size_t count = 0, best = piece;
    double least = (double)INFINITY;
    if (sampler->count == sampler->pieces)
        return piece;
    for (size_t i = piece; i < sampler->count; i += sampler->pieces)
        any_ended |= sampler->rows[i].outcome == SAMPLER_ENDED;
    for (size_t i = piece; i < sampler->count; i += sampler->pieces)
        if (is_eligible(sampler, i, any_ended))
            sampler->surprisals[count++] = per_token(&sampler->rows[i]);
    qsort(sampler->surprisals, count, sizeof *sampler->surprisals, compare_doubles);
    double median =
        (sampler->surprisals[(count - 1) / 2] + sampler->surprisals[count / 2]) / 2;
    for (size_t i = piece; i < sampler->count; i += sampler->pieces) {
        double distance = fabs(per_token(&sampler->rows[i]) - median);
        if (is_eligible(sampler, i, any_ended) && distance < least) {
            least = distance;
            best = i;
        }
    }
    return best;
}

/* ---- notes ---- */

/* Removes the notes that sound until `end` or longer and begin at `since` or later, and
 * all notes that begin with the first of them or after it, unless none would be left.
 * Sorted by start. */
static void remove_last_notes(struct notes *notes, double since, double end)
{
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        double start = note->start;
        if (start < since - time_epsilon || start + note->duration < end - time_epsilon)
            continue;
        while (i > 0 && notes->items[i - 1].start >= start - time_epsilon)
            i--; /* of the same chord */
        if (i > 0)
            notes->count = i;
        return;
    }
}

/* Lets a piece of full length end with notes of their own length, where possible. */
static void end_well(const struct sampler *sampler, struct notes *notes, double seconds,
                     double end)
{
    double last = fmin(SAMPLER_ENDING_SECONDS, seconds / 4);
    if (sampler->settings->end != END_FORBID)
        remove_last_notes(notes, end - last, end);
}

/* Truncates notes at `end`; all of them begin before it. */
static enum status truncate_notes(struct notes *notes, double end)
{
    struct tempo_map map;
    enum status status = tempo_map_from_notes(notes, &map);
    if (status != STATUS_OK)
        return status;
    uint32_t end_tick = tempo_map_tick_at(&map, end);
    for (size_t i = 0; i < notes->count; i++) {
        struct note *note = &notes->items[i];
        if (note->start + note->duration <= end)
            continue;
        note->duration = end - note->start;
        note->duration_ticks = end_tick - note->start_tick;
    }
    free(map.points);
    notes_sort(notes);
    return STATUS_OK;
}

/* Replaces the tempos of a piece. */
static enum status set_tempo(struct notes *notes, uint32_t tempo)
{
    struct tempo_map map = {0};
    notes->tempos.count = 0;
    enum status status = notes_set_tempo(notes, 0, tempo);
    if (status == STATUS_OK)
        status = tempo_map_from_notes(notes, &map);
    if (status == STATUS_OK)
        tempo_map_assign_seconds(&map, 0, notes->items, notes->count);
    free(map.points);
    return status;
}

/* The end of the last bar that the piece can have, in grid steps. A piece that ended has
 * no more bars; they would be as long as its last one. */
static uint64_t last_bar_end(const struct sampler *sampler, const struct grammar *grammar)
{
    int64_t left =
        sampler->settings->bars - (grammar->bars - sampler->primed.grammar.bars);
    return left < 0 ? grammar->time
                    : grammar->bar_end + (uint64_t)left * grammar->bar_steps;
}

/* Sets *length to the full length of a piece after the primer and *end to its end in the
 * notes, in seconds. */
static enum status find_end(const struct sampler *sampler, const struct row *row,
                            const struct notes *notes, double *length, double *end)
{
    bool keep_primer = sampler->batch->keep_primer;
    *length = sampler->settings->seconds;
    *end = keep_primer ? sampler->end : *length;
    if (sampler->settings->bars == 0)
        return STATUS_OK;
    struct tempo_map map;
    enum status status = tempo_map_from_notes(notes, &map);
    if (status != STATUS_OK)
        return status;
    uint64_t primer = sampler->primed.grammar.time;
    uint32_t first = keep_primer ? (uint32_t)primer : 0;
    uint32_t last = (uint32_t)(last_bar_end(sampler, &row->grammar) - primer) + first;
    *end = tempo_map_seconds(&map, 0, 0, last);
    *length = *end - tempo_map_seconds(&map, 0, 0, first);
    free(map.points);
    return STATUS_OK;
}

static enum status decode_piece(const struct sampler *sampler, const struct row *row,
                                struct notes *piece)
{
    size_t skip = sampler->batch->keep_primer ? 0 : sampler->primer_count;
    double length, end;
    enum status status = sampler->base->decode(sampler->base, row->tokens.items,
                                               row->tokens.count, skip, piece);
    if (status == STATUS_OK && sampler->step_seconds > 0)
        status = set_tempo(piece, sampler->settings->request.tempo);
    if (status == STATUS_OK)
        status = find_end(sampler, row, piece, &length, &end);
    if (status != STATUS_OK)
        return status;
    end_well(sampler, piece, length, end);
    return truncate_notes(piece, end);
}

enum status sampler_decode(const struct sampler *sampler, struct notes *pieces)
{
    enum sampler_outcome *outcomes = sampler->settings->outcomes;
    for (size_t i = 0; i < sampler->pieces; i++) {
        const struct row *row = &sampler->rows[choose_candidate(sampler, i)];
        enum status status = decode_piece(sampler, row, &pieces[i]);
        if (status != STATUS_OK)
            return status;
        if (outcomes)
            outcomes[i] = row->outcome;
    }
    return STATUS_OK;
}
