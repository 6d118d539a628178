/* doctor: finds problems that would slow down or break a run, before it starts.
 *
 * It is launched in the same way as `train`, on the same ranks, because most faults lie
 * in the launch of a job. Only rank 0 prints. The exit code is 1 if there is a fault.
 */
#include "doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "base/file.h"
#include "base/json.h"
#include "base/printable.h"
#include "encode/encoding.h"
#include "nn/params.h"
#include "train/matmul_choice.h"

static const char *const level_names[DOCTOR_LEVELS] = {"ok", "note", "warning", "fault"};

/* ---- output ---- */

static void print_findings(const struct doctor *doctor, const int counts[DOCTOR_LEVELS])
{
    for (size_t i = 0; i < doctor->count; i++) {
        const struct finding *finding = &doctor->findings[i];
        printable_line(stdout, "%-8s %-14s %s", level_names[finding->level],
                       finding->check, finding->text);
        if (finding->remedy[0])
            printable_line(stdout, "%-8s %-14s -> %s", "", "", finding->remedy);
    }
    printf("\n%d ok", counts[DOCTOR_OK]);
    for (int level = DOCTOR_NOTE; level < DOCTOR_LEVELS; level++)
        printf(", %d %s%s", counts[level], level_names[level],
               doctor_plural(counts[level]));
    printf("\n");
}

static enum status write_json(const struct doctor *doctor,
                              const int counts[DOCTOR_LEVELS])
{
    struct json json;
    json_begin(&json, stdout, true);
    json_object(&json, NULL);
    json_integer(&json, "ranks", doctor->ranks);
    json_array(&json, "hosts"); /* one per rank */
    for (int r = 0; r < doctor->ranks; r++)
        json_string(&json, NULL, doctor->reports[r].host);
    json_close(&json);
    json_string(&json, "directory", doctor->directory);
    json_array(&json, "checks");
    for (size_t i = 0; i < doctor->count; i++) {
        const struct finding *finding = &doctor->findings[i];
        json_object(&json, NULL);
        json_string(&json, "check", finding->check);
        json_string(&json, "level", level_names[finding->level]);
        json_string(&json, "found", finding->text);
        json_string(&json, "cure", finding->remedy[0] ? finding->remedy : NULL);
        json_close(&json);
    }
    json_close(&json);
    json_integer(&json, "notes", counts[DOCTOR_NOTE]);
    json_integer(&json, "warnings", counts[DOCTOR_WARNING]);
    json_integer(&json, "faults", counts[DOCTOR_FAULT]);
    json_close(&json);
    return json_end(&json);
}

static enum status print_report(const struct doctor *doctor, bool as_json)
{
    int counts[DOCTOR_LEVELS] = {0};
    for (size_t i = 0; i < doctor->count; i++)
        counts[doctor->findings[i].level]++;
    if (!cli_prints())
        return STATUS_OK;
    if (as_json)
        return write_json(doctor, counts);
    print_findings(doctor, counts);
    return STATUS_OK;
}

/* Returns the command's status, the same on all ranks. Collective. */
static enum status final_status(const struct doctor *doctor, enum status status)
{
    int64_t faults = 0;
    for (size_t i = 0; i < doctor->count; i++)
        faults += doctor->findings[i].level == DOCTOR_FAULT;
    if (doctor->comm) {
        status = comm_agree(doctor->comm, status);
        faults = comm_max_i64(doctor->comm, faults);
    }
    if (status == STATUS_OK && faults > 0)
        status = status_fail(STATUS_FAILED, "doctor: %lld %s", (long long)faults,
                             faults == 1 ? "fault" : "faults");
    return status;
}

/* ---- collecting and checking ---- */

/* Determines the model's size, for checks that depend on the size of the gradient. */
static enum status count_parameters(struct doctor *doctor)
{
    struct encoding *encoding = NULL;
    struct params *params = malloc(sizeof *params); /* large */
    struct model_shape shape = {0};
    if (!params)
        return status_fail(STATUS_FAILED, "out of memory");
    enum status status = encoding_from_options(&doctor->options, &encoding);
    if (status == STATUS_OK) {
        shape = model_shape_of(&doctor->options, encoding->vocabulary);
        status = params_layout(&shape, params);
    }
    for (size_t i = 0; status == STATUS_OK && i < params->count; i++) {
        const struct param *param = &params->list[i];
        bool is_multiplied = !param->is_vector && !param_is_looked_up(&shape, param);
        doctor->parameters += param->count;
        doctor->matmul_parameters += is_multiplied ? param->count : 0;
    }
    encoding_free(encoding);
    free(params);
    return status;
}

/* Gathers all reports on rank 0. Collective. */
static enum status gather(struct doctor *doctor)
{
    uint8_t *all = NULL;
    size_t *sizes = NULL;
    if (!doctor->comm) {
        doctor->reports = malloc(sizeof *doctor->reports);
        if (!doctor->reports)
            return status_fail(STATUS_FAILED, "out of memory");
        doctor->reports[0] = doctor->local;
        return STATUS_OK;
    }
    enum status status =
        comm_gather(doctor->comm, &doctor->local, sizeof doctor->local, &all, &sizes);
    free(sizes);
    doctor->reports = (struct rank_report *)(void *)all;
    return comm_agree(doctor->comm, status);
}

static void check_all(struct doctor *doctor)
{
    doctor_check_launch(doctor);
    doctor_check_cores(doctor);
    doctor_check_layout(doctor);
    doctor_check_processors(doctor);
    doctor_check_limits(doctor);
    doctor_check_directory(doctor);
    doctor_check_network(doctor);
}

/* Collective. */
static enum status collect(struct doctor *doctor)
{
    doctor_collect_host(doctor);
    enum status status = doctor_probe_directory(doctor);
    if (status == STATUS_OK)
        status = doctor_probe_network(doctor);
    if (status == STATUS_OK)
        status = gather(doctor);
    return status;
}

/* ---- the command ---- */

/* Starts MPI. If that fails, the failure becomes a finding, and the checks cover only
 * this process. */
static enum status open_ranks(struct doctor *doctor)
{
    doctor->ranks = 1;
    if (doctor_lacks_pmi(&doctor->local)) {
        snprintf(doctor->launch_error, sizeof doctor->launch_error, "no PMI");
        cli_set_rank(atoi(doctor->local.variables[VARIABLE_SLURM_TASK])); /* one report */
        return STATUS_OK;
    }
    enum status status = cli_open_ranks(STATUS_OK, &doctor->comm);
    if (status != STATUS_OK && !doctor->comm) {
        snprintf(doctor->launch_error, sizeof doctor->launch_error, "%s",
                 status_message());
        return STATUS_OK;
    }
    if (status == STATUS_OK) {
        doctor->rank = comm_rank(doctor->comm);
        doctor->ranks = comm_size(doctor->comm);
    }
    return status;
}

/* --run-dir, or else run.dir or its nearest existing parent folder. */
static enum status choose_directory(struct doctor *doctor, const char *run_dir,
                                    bool configured)
{
    snprintf(doctor->directory, sizeof doctor->directory, "%s",
             run_dir      ? run_dir
             : configured ? doctor->options.run.dir
                          : ".");
    while (!run_dir && !file_exists(doctor->directory)) {
        char *parent = path_directory(doctor->directory);
        if (!parent)
            return status_fail(STATUS_FAILED, "out of memory");
        snprintf(doctor->directory, sizeof doctor->directory, "%s", parent);
        free(parent);
    }
    return STATUS_OK;
}

/* Collective. */
static enum status resolve_matmul(struct doctor *doctor)
{
    char note[MATMUL_NOTE];
    bool automatic = doctor->options.train.matmul == MATMUL_AUTO;
    enum status status =
        matmul_resolve(doctor->comm, &doctor->options, MATMUL_AUTO, note);
    doctor->chose_openblas = automatic && doctor_uses_openblas(doctor);
    return status;
}

static enum status configure(struct doctor *doctor, struct cli_request *request,
                             const char *directory)
{
    bool configured = request->positional_count > 0;
    const char *config = configured ? request->positionals[0] : NULL;
    enum status status = cli_read_settings(doctor->comm, config, request);
    if (status == STATUS_OK)
        status = count_parameters(doctor);
    if (status == STATUS_OK)
        status = choose_directory(doctor, directory, configured);
    if (!doctor->comm)
        return status;
    status = comm_agree(doctor->comm, status);
    return status == STATUS_OK ? resolve_matmul(doctor) : status;
}

static enum status diagnose(struct doctor *doctor, struct cli_request *request,
                            const char *directory, bool as_json)
{
    doctor_collect_environment(&doctor->local);
    enum status status = open_ranks(doctor);
    if (status != STATUS_OK)
        return status;
    status = configure(doctor, request, directory);
    if (status == STATUS_OK)
        status = collect(doctor);
    if (status == STATUS_OK && doctor->rank == 0) {
        check_all(doctor);
        status = print_report(doctor, as_json);
    }
    status = final_status(doctor, status);
    free(doctor->reports);
    comm_close(doctor->comm);
    return status;
}

static enum status run(const struct cli_command *self, int argc, char **argv)
{
    bool as_json = false;
    const char *directory = NULL;
    const struct cli_argument arguments[] = {
        {.name = "--run-dir",
         .placeholder = "DIR",
         .text = &directory,
         .help = "directory to check (default: run.dir of CONFIG, else the working "
                 "directory)"},
        {.name = "--json", .flag = &as_json, .help = "print JSON instead of a table"},
        {.name = NULL},
    };
    static struct doctor doctor; /* large; used once per process */
    options_defaults(&doctor.options);
    static struct cli_request request;
    request = (struct cli_request){.arguments = arguments,
                                   .accepts_set = true,
                                   .options = &doctor.options,
                                   .positional_max = 1};
    enum status status = cli_parse(self, &request, argc, argv);
    if (status != STATUS_OK || request.help_shown)
        return status;
    return diagnose(&doctor, &request, directory, as_json);
}

const struct cli_command command_doctor = {
    .name = "doctor",
    .summary =
        "check launch, cores, files and network for problems that slow or break a run",
    .usage = "doctor [CONFIG] [--run-dir DIR] [--json] [--set SECTION.KEY=VALUE]...",
    .examples =
        "Launch it in the same way as the training run. It checks launch, cores, "
        "processors,\n"
        "limits, shared memory, the run's directory, clocks and network. Each finding is "
        "ok, a\n"
        "note, a warning or a fault, with a remedy. Exit code 1 if there is a fault.\n"
        "\n"
        "  tutti doctor\n"
        "  mpirun -n 4 tutti doctor run.conf\n"
        "  srun --mpi=pmix -N 2 -n 8 tutti doctor run.conf --run-dir /scratch/runs",
    .run = run,
};
