/* generate: samples pieces from a checkpoint and writes them as MIDI files, without MPI.
 * A sandboxed child reads the input files and samples, on several threads (see
 * sandbox.h); the parent writes the output. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "generate/samples.h"
#include "base/sandbox.h"
#include "base/file.h"
#include "base/log.h"
#include "base/printable.h"
#include "base/standard_streams.h"
#include "base/team.h"

struct generate_arguments {
    const char *output;
    const char *prime;
    double seconds;       /* below 0: not given */
    double prime_seconds; /* 0: the whole file */
    int64_t count;
    int64_t bars; /* 0: not given */
    bool keep_primer;
    bool average; /* uses the averaged weights */
};

static void report_file(const char *path, const struct notes *piece)
{
    printable_line(stdout, "%s: %zu notes, %.1f s", path, piece->count,
                   notes_duration(piece));
    if (piece->count == 0)
        log_warn("%s: no notes; train longer, allow more seconds, or raise --temperature",
                 path);
}

static void report_primer(const char *path, const struct checkpoint *checkpoint,
                          double bpm, const struct primer *primer)
{
    char tempo[64] = "";
    const struct encoding *encoding = checkpoint->encoding;
    if (encoding->find_grid_steps || (encoding->has_tempos && bpm > 0))
        snprintf(tempo, sizeof tempo, ", continued at %.6g beats per minute",
                 6e7 / generator_tempo(bpm, primer));
    printable_line(stdout, "primer %s: %zu tokens, %.1f s%s", path, primer->tokens.count,
                   primer->seconds, tempo);
}

/* Shared by parent and child. */
struct generation {
    const char *checkpoint;
    struct cli_request *request;
    const struct generate_arguments *arguments;
};

static struct samples_request output_request(const struct generate_arguments *arguments)
{
    return (struct samples_request){
        .keep_primer = arguments->keep_primer,
        .count = (int)arguments->count,
        .path = arguments->output,
    };
}

static enum status sample_and_send(const struct checkpoint *checkpoint,
                                   const struct samples_request *request, FILE *reply)
{
    struct samples_pieces pieces;
    enum status status = samples_generate(checkpoint, request, &pieces);
    if (status == STATUS_OK)
        status = samples_send(&pieces, reply);
    samples_free(&pieces);
    return status;
}

/* Reads the primer, prints its length, and samples. */
static enum status sample_after_primer(const struct checkpoint *checkpoint,
                                       const struct generate_arguments *arguments,
                                       struct samples_request *request, FILE *reply)
{
    struct primer primer = {0};
    enum status status =
        primer_read(checkpoint, arguments->prime, arguments->prime_seconds, &primer);
    if (status == STATUS_OK) {
        if (primer.repairs[0])
            log_warn("%s: repaired: %s", arguments->prime, primer.repairs);
        report_primer(arguments->prime, checkpoint, request->settings.tempo, &primer);
        request->primer = &primer;
        sandbox_begin_computing();
        status = sample_and_send(checkpoint, request, reply);
    }
    primer_free(&primer);
    return status;
}

/* Limit for run.sample_seconds from a checkpoint: an untrusted file must not be able to
 * start hours of work. */
enum { CONFIGURED_SECONDS_MAX = 600 };

static enum status sample(const struct checkpoint *checkpoint,
                          const struct generate_arguments *arguments, FILE *reply)
{
    struct samples_request request = output_request(arguments);
    request.settings = generator_settings(&checkpoint->options);
    request.settings.threads = team_threads(0);
    request.settings.bars = arguments->bars;
    if (arguments->seconds >= 0) {
        request.settings.seconds = arguments->seconds;
    } else if (arguments->bars == 0 &&
               request.settings.seconds > CONFIGURED_SECONDS_MAX) {
        log_info("the checkpoint's run.sample_seconds = %g is limited to %d; use "
                 "--seconds for longer pieces",
                 request.settings.seconds, CONFIGURED_SECONDS_MAX);
        request.settings.seconds = CONFIGURED_SECONDS_MAX;
    }
    if (!(request.settings.seconds > 0))
        return status_fail(STATUS_MISUSE,
                           "generate: the checkpoint's run.sample_seconds is 0; add a "
                           "length, for example --seconds 30");
    if (arguments->prime)
        return sample_after_primer(checkpoint, arguments, &request, reply);
    sandbox_begin_computing();
    return sample_and_send(checkpoint, &request, reply);
}

/* True if the extension (with its dot) belongs to another format. An unknown extension is
 * treated as part of the name: "take.2". */
static bool is_foreign_extension(const char *extension)
{
    static const char formats[] =
        /* sound and film */
        " .aac .ac3 .aif .aiff .amr .ape .au .caf .flac .m4a .m4b .mka .mp2 .mp3 .oga "
        ".ogg "
        ".opus .ra .snd .wav .wave .weba .wma .wv .avi .mkv .mov .mp4 .mpeg .mpg .ogv "
        ".webm "
        /* scores and pictures */
        ".abc .capx .gp .gp3 .gp4 .gp5 .gpx .krn .ly .mei .mscx .mscz .mus .musicxml "
        ".musx "
        ".mxl .nwc .rmi .sib .syx .gif .jpeg .jpg .pdf .png .ps .svg .webp "
        /* text, data and archives */
        ".bin .conf .csv .doc .docx .h5 .hdf .hdf5 .html .ini .json .jsonl .log .md .npy "
        ".npz .pickle .pkl .pt .pth .toml .tsv .txt .xml .yaml .yml "
        ".7z .bz2 .gz .rar .tar .tgz .xz .zip .zst ";
    char word[16];
    int length = snprintf(word, sizeof word, " %s ", extension);
    return length < (int)sizeof word && strcasestr(formats, word);
}

static enum status check_output_name(const char *path)
{
    if (!path)
        return status_fail(STATUS_MISUSE,
                           "generate: no output; add a file name, for example "
                           "-o music.mid");
    if (file_is_directory(path))
        return status_fail(STATUS_MISUSE,
                           "%s: a directory; -o takes the name of a MIDI file, "
                           "for example -o %s/music.mid",
                           path, path);
    const char *dot = strrchr(path_base(path), '.');
    if (!dot || !is_foreign_extension(dot))
        return STATUS_OK;
    return status_fail(STATUS_MISUSE,
                       "%s: generate writes MIDI files, not %s; name the output %.*s.mid",
                       path, dot, (int)(dot - path), path);
}

/* Checks the output path of every piece, as any of them may already exist. */
static enum status check_paths(const struct generate_arguments *arguments,
                               const char *checkpoint)
{
    const struct samples_request request = {.path = arguments->output,
                                            .count = (int)arguments->count};
    const char *const inputs[] = {checkpoint, arguments->prime};
    enum status status = STATUS_OK;
    for (int i = 1; i <= request.count && status == STATUS_OK; i++) {
        struct file_output output;
        char *path = samples_path(&request, i);
        if (!path)
            return status_fail(STATUS_FAILED, "%s: out of memory", request.path);
        if (file_check_output(path, &output) != STATUS_OK)
            status = STATUS_MISUSE;
        else if (request.count > 1 && !output.is_regular)
            status = status_fail(STATUS_MISUSE,
                                 "%s: not a file, so piece %d can't be "
                                 "written there",
                                 path, i);
        else
            status = cli_check_inputs(path, true, inputs, 2);
        free(path);
    }
    return status;
}

/* Several pieces are written to numbered names, so the output can't be a device or a
 * pipe. */
static enum status check_output(const struct generate_arguments *arguments,
                                const char *checkpoint)
{
    struct file_output output;
    if (arguments->count == 1) {
        enum status status = cli_check_output(arguments->output, true);
        return status == STATUS_OK ? check_paths(arguments, checkpoint) : status;
    }
    if (file_check_output(arguments->output, &output) != STATUS_OK)
        return STATUS_MISUSE;
    if (output.is_regular)
        return check_paths(arguments, checkpoint);
    return status_fail(
        STATUS_MISUSE,
        "%s: not a file, but --count %lld writes numbered files; use a file name, or "
        "leave out --count",
        arguments->output, (long long)arguments->count);
}

static enum status check_arguments(const struct generate_arguments *arguments,
                                   const char *checkpoint)
{
    enum status status = check_output_name(arguments->output);
    if (status != STATUS_OK)
        return status;
    if (arguments->bars > 0 && arguments->seconds >= 0)
        return status_fail(STATUS_MISUSE, "generate: --bars and --seconds are both the "
                                          "maximum length; use one of them");
    if (!arguments->prime && (arguments->keep_primer || arguments->prime_seconds > 0))
        return status_fail(STATUS_MISUSE,
                           "generate: %s without a primer; add --prime FILE.mid",
                           arguments->keep_primer ? "--keep-primer" : "--prime-seconds");
    return check_output(arguments, checkpoint);
}

/* Runs in the sandboxed child. The checkpoint's settings are the defaults; the command
 * line overrides them. */
static enum status read_and_sample(void *context, FILE *reply)
{
    const struct generation *generation = context;
    struct cli_request *request = generation->request;
    struct checkpoint checkpoint;
    enum status status = generator_load(generation->checkpoint,
                                        generation->arguments->average, &checkpoint);
    if (status != STATUS_OK)
        return status;
    *request->options = checkpoint.options;
    status = cli_apply_settings(request);
    if (status == STATUS_OK) {
        checkpoint.options = *request->options;
        status = sample(&checkpoint, generation->arguments, reply);
    }
    checkpoint_free(&checkpoint);
    return status == STATUS_OK ? cli_flush_output() : status;
}

static enum status write_files(const struct generate_arguments *arguments,
                               const struct sandbox_reply *reply)
{
    const struct samples_request request = output_request(arguments);
    struct samples_pieces pieces;
    struct samples_totals totals;
    enum status status =
        samples_receive(reply->bytes, reply->size, request.count, &pieces);
    if (status == STATUS_OK)
        status = samples_write_files(&request, &pieces, report_file, &totals);
    samples_free(&pieces);
    return status == STATUS_OK ? cli_flush_output() : status;
}

static enum status generate(const char *path, struct cli_request *request,
                            const struct generate_arguments *arguments)
{
    struct generation generation = {path, request, arguments};
    const char *const paths[] = {path, arguments->prime};
    const struct sandbox_inputs inputs = {
        .paths = paths, .count = arguments->prime ? 2 : 1, .computes = true};
    struct sandbox_reply reply;
    standard_streams_ignore_sigpipe();
    enum status status = sandbox_run(&inputs, read_and_sample, &generation, &reply);
    if (status == STATUS_OK)
        status = write_files(arguments, &reply);
    free(reply.bytes);
    return status;
}

/* `args` receives the values of `arguments`. */
static enum status parse_and_generate(const struct cli_command *self, int argc,
                                      char **argv, const struct cli_argument *arguments,
                                      struct generate_arguments *args)
{
    static struct options options; /* large; used once per process */
    options_defaults(&options);
    static struct cli_request request;
    request = (struct cli_request){.arguments = arguments,
                                   .sections = SECTION_SAMPLE,
                                   .options = &options,
                                   .positional_min = 1,
                                   .positional_max = 1};
    enum status status = cli_parse(self, &request, argc, argv);
    if (status != STATUS_OK || request.help_shown)
        return status;
    status = check_arguments(args, request.positionals[0]);
    return status == STATUS_OK ? generate(request.positionals[0], &request, args)
                               : status;
}

static enum status run(const struct cli_command *self, int argc, char **argv)
{
    struct generate_arguments args = {.seconds = -1, .count = 1};
    const struct cli_argument arguments[] = {
        {.name = "-o",
         .placeholder = "FILE.mid",
         .text = &args.output,
         .help = "MIDI file to write (-: stdout); with --count N, FILE-1.mid to "
                 "FILE-N.mid"},
        {.name = "--seconds",
         .placeholder = "N",
         .number = &args.seconds,
         .low = 0.01,
         .high = SAMPLER_SECONDS_MAX,
         .help = "maximum length after the primer in seconds (default: "
                 "run.sample_seconds, at most 600)"},
        {.name = "--bars",
         .placeholder = "N",
         .integer = &args.bars,
         .low = 1,
         .high = SAMPLER_BARS_MAX,
         .help = "maximum length in bars instead: of remi, else of --time-signature "
                 "(4/4) at the tempo"},
        {.name = "--prime",
         .placeholder = "FILE.mid",
         .text = &args.prime,
         .help =
             "continue this MIDI file (-: stdin); with pianoroll and remi, at its tempo"},
        {.name = "--prime-seconds",
         .placeholder = "N",
         .number = &args.prime_seconds,
         .low = 0.01,
         .high = SAMPLER_SECONDS_MAX,
         .help = "use only the first N seconds of the primer (default: all)"},
        {.name = "--keep-primer",
         .flag = &args.keep_primer,
         .help = "write the primer at the beginning of each piece"},
        {.name = "--average",
         .flag = &args.average,
         .help = "use the averaged weights of a run with train.average = ema"},
        {.name = "--count",
         .placeholder = "N",
         .integer = &args.count,
         .low = 1,
         .high = GENERATOR_PIECES_MAX,
         .help = "number of pieces to sample as one batch (default: 1)"},
        {.name = NULL},
    };
    return parse_and_generate(self, argc, argv, arguments, &args);
}

const struct cli_command command_generate = {
    .name = "generate",
    .summary = "sample music from a checkpoint as MIDI files",
    .usage = "generate CHECKPOINT -o FILE.mid [options]",
    .examples =
        "CHECKPOINT is a file or a run's directory (its best checkpoint, or the latest\n"
        "if none is marked). Settings default to those of the checkpoint. Threads:\n"
        "OMP_NUM_THREADS, else SLURM_CPUS_PER_TASK, else 1; fewer for a small model. "
        "The\n"
        "music does not depend on them.\n"
        "\n"
        "  tutti generate runs/first -o music.mid --seconds 60 --seed 7\n"
        "  tutti generate runs/first -o music.mid --prime tune.mid --prime-seconds 8\n"
        "  tutti generate runs/first/checkpoints/epoch-0003.h5 -o piece.mid --count 8",
    .run = run,
};
