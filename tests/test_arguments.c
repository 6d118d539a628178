/* cli_parse: the arguments of a command, tested with a made-up command. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/socket.h>

#include "../src/cli/cli.c" /* of the program, not of the library */
#include "../src/cli/cli_help.c"
#include "../src/cli/cli_sections.c"
#include "../src/cli/cli_output.c"
#include "../src/cli/rank.c"

static const char *text;
static bool flag;
static int64_t integer;
static double number;
static char gathered[40];
static struct options options;
static struct cli_request request;

static enum status gather(const char *value)
{
    if (strcmp(value, "bad") == 0)
        return status_fail(STATUS_MISUSE, "%s is bad", value);
    strcat(strcat(gathered, value), ",");
    return STATUS_OK;
}

static const struct cli_argument arguments[] = {
    {.name = "-o", .placeholder = "FILE", .text = &text, .help = "output"},
    {.name = "--output", .placeholder = "FILE", .text = &text, .help = "output"},
    {.name = "--each", .placeholder = "TEXT", .each = gather, .help = "several"},
    {.name = "--flag", .flag = &flag, .help = "a flag"},
    {.name = "--count", .placeholder = "N", .integer = &integer, .low = 1, .high = 64},
    {.name = "--seconds", .placeholder = "X", .number = &number, .low = -1, .high = 10},
    {.name = NULL}};
static const struct cli_command command = {"play", "Plays.", "play FILE...", "  x", NULL};

static enum status parse(const char *line)
{
    static char words[400]; /* the request keeps pointers into it */
    char *argv[40];
    int argc = 0;
    snprintf(words, sizeof words, "%s", line);
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    text = NULL;
    flag = false;
    integer = 0;
    number = 0;
    request = (struct cli_request){.arguments = arguments,
                                   .sections = SECTION_TRAIN | SECTION_SAMPLE,
                                   .accepts_set = true,
                                   .options = &options,
                                   .positional_max = 2};
    options_defaults(&options);
    return cli_parse(&command, &request, argc, argv);
}

static void assert_parsed(const char *line)
{
    if (parse(line) != STATUS_OK)
        fail_msg("%s: %s", line, status_message());
}

static void assert_rejected(const char *line, const char *message)
{
    enum status status = parse(line);
    if (status != STATUS_MISUSE || !strstr(status_message(), message))
        fail_msg("%s gave %d: %s\nnot: %s", line, status, status_message(), message);
}

static void parses_arguments(void **state)
{
    (void)state;
    assert_parsed("a.mid -o out --flag --count 3 --seconds=-0.5 b.mid");
    assert_string_equal(text, "out");
    assert_true(flag);
    assert_int_equal(integer, 3);
    assert_true(number == -0.5);
    assert_int_equal(request.positional_count, 2);
    assert_string_equal(request.positionals[0], "a.mid");
    assert_string_equal(request.positionals[1], "b.mid");
    assert_parsed("--seconds -1 - -- --count");
    assert_true(number == -1);
    assert_string_equal(request.positionals[0], "-");
    assert_string_equal(request.positionals[1], "--count");
    assert_int_equal(integer, 0);
    assert_parsed("--each one --flag --each=two");
    assert_string_equal(gathered, "one,two,");
    assert_rejected("--each bad --each three", "bad is bad");
    assert_rejected("--each", "play: --each needs a value: --each TEXT");
    assert_string_equal(gathered, "one,two,");
    assert_parsed("-o -");
    assert_string_equal(text, "-");
    assert_parsed("--count 1 --count 2");
    assert_int_equal(integer, 2);
}

static void settings_are_applied_after_the_file(void **state)
{
    (void)state;
    assert_parsed(
        "--top-k 5 --no-guard --batch=64 --set run.keep_checkpoints=9 --temperature "
        ".5 --seed 7");
    assert_int_equal(options.sample.top_k, 0);
    assert_int_equal(options_read_text(&options, "[sample]\ntop_k = 3\ntop_p = .5", "a"),
                     STATUS_OK);
    assert_int_equal(cli_apply_settings(&request), STATUS_OK);
    assert_int_equal(options.sample.top_k, 5);
    assert_true(options.sample.top_p == 0.5 && options.sample.temperature == 0.5);
    assert_false(options.sample.guard);
    assert_int_equal(options.train.batch, 64);
    assert_int_equal(options.run.keep_checkpoints, 9);
    assert_int_equal(options.train.seed, 7); /* [train] precedes [sample] */
    assert_int_equal(options.sample.seed, 1);
    assert_parsed("--no-guard --guard --allow-mixed-cores");
    assert_int_equal(cli_apply_settings(&request), STATUS_OK);
    assert_true(options.sample.guard);
    assert_true(options.train.allow_mixed_cores);
    assert_parsed("--guard=off --set train.batch=8 --batch 16");
    assert_int_equal(cli_apply_settings(&request), STATUS_OK);
    assert_false(options.sample.guard);
    assert_int_equal(options.train.batch, 16); /* the last one takes effect */
}

static void reports_errors(void **state)
{
    (void)state;
    assert_rejected(
        "--cuont 3",
        "play: unknown option --cuont; did you mean --count? (see tutti play");
    assert_rejected("--temprature 3", "did you mean --temperature?");
    assert_rejected("--top_kk 3", "did you mean --top-k?");
    assert_rejected("--keep 3", "play: unknown option --keep"); /* no --key for [run] */
    assert_rejected("-x", "play: unknown option -x");
    assert_rejected("--count", "play: --count needs a value: --count N");
    assert_rejected("--count --flag",
                    "play: --count needs a value: --count N, found --flag");
    assert_rejected("-o --flag", "play: -o needs a value: -o FILE, found --flag");
    assert_rejected("--count 0", "play: --count 0: expected a whole number from 1 to 64");
    assert_rejected("--count 1e1",
                    "play: --count 1e1: expected a whole number from 1 to 64");
    assert_rejected("--count 65", "expected a whole number from 1 to 64");
    assert_rejected("--seconds 11",
                    "play: --seconds 11: expected a number from -1 to 10");
    assert_rejected("--seconds nan", "expected a number from -1 to 10");
    assert_rejected("--seconds=", "expected a number from -1 to 10");
    assert_rejected("--flag=yes", "play: --flag takes no value");
    assert_rejected("--no-guard=1", "play: --no-guard takes no value");
    assert_rejected("--no-batch", "play: unknown option --no-batch");
    assert_rejected("--top-k x",
                    "--top-k: sample.top_k = x: expected a whole number from 0 to 65536");
    assert_rejected("--set batch=3", "--set batch=3: expected section.key=value");
    assert_rejected("--set train.btach=3",
                    "--set: unknown key btach in [train]; did you mean batch?");
    assert_rejected("--set", "play: --set needs a value");
    assert_rejected("a b c", "play: unexpected argument c (usage: tutti play FILE...)");
    assert_int_equal(parse(""), STATUS_OK);
    request.positional_min = 1;
    assert_int_equal(cli_parse(&command, &request, 0, NULL), STATUS_MISUSE);
    assert_string_equal(status_message(),
                        "play: missing argument (usage: tutti play FILE...)");
}

static void set_launch(const char *const *variables)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK",
                                        "OMPI_COMM_WORLD_SIZE",
                                        "PMIX_RANK",
                                        "PMIX_SERVER_URI41",
                                        "PMIX_SERVER_TMPDIR",
                                        "PMI_RANK",
                                        "PMI_SIZE",
                                        "PMI_FD",
                                        "PMI_PORT",
                                        "SLURM_PROCID",
                                        "SLURM_STEP_NUM_TASKS"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    for (; variables[0]; variables += 2)
        setenv(variables[0], variables[1], 1);
}

/* With the environment NAME, VALUE, ...: whether this is the process that prints. */
#define IS_FIRST(...)                                                                    \
    (set_launch((const char *const[]){__VA_ARGS__, NULL}), cli_is_first_process())
#define SERVER "PMIX_SERVER_URI41", "1.0;tcp4://127.0.0.1:1"

static void rank_variable_requires_its_server(void **state)
{
    (void)state;
    assert_true(IS_FIRST("A", "b"));
    assert_true(IS_FIRST("PMIX_RANK", "0", SERVER));
    assert_false(IS_FIRST("PMIX_RANK", "3", SERVER));
    assert_false(IS_FIRST("PMIX_RANK", "3", SERVER, "PMIX_SERVER_TMPDIR", "/"));
    assert_false(IS_FIRST("OMPI_COMM_WORLD_RANK", "3", "PMIX_RANK", "3", SERVER));
    assert_false(IS_FIRST("SLURM_PROCID", "0", "PMIX_RANK", "3", SERVER));
    assert_true(IS_FIRST("SLURM_PROCID", "1", "PMIX_RANK", "0", SERVER));
    assert_false(IS_FIRST("PMI_RANK", "3", "PMI_SIZE", "4", "PMI_PORT", "here:1"));

    int sockets[2];
    char descriptor[16];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    snprintf(descriptor, sizeof descriptor, "%d", sockets[0]);
    assert_false(IS_FIRST("PMI_RANK", "3", "PMI_SIZE", "4", "PMI_FD", descriptor));
    assert_true(IS_FIRST("PMI_RANK", "0", "PMI_SIZE", "4", "PMI_FD", descriptor));
    close(sockets[0]);
    close(sockets[1]);
    assert_true(IS_FIRST("PMI_RANK", "3", "PMI_SIZE", "4", "PMI_FD", descriptor));
}

static void ignores_stale_variables(void **state)
{
    (void)state;
    assert_true(IS_FIRST("SLURM_PROCID", "3"));
    assert_true(IS_FIRST("SLURM_PROCID", "3", "SLURM_STEP_NUM_TASKS", "4"));
    assert_true(IS_FIRST("OMPI_COMM_WORLD_RANK", "3", "OMPI_COMM_WORLD_SIZE", "4"));
    assert_true(IS_FIRST("PMIX_RANK", "3"));
    assert_true(IS_FIRST("PMIX_RANK", "x", SERVER));
    assert_true(IS_FIRST("PMIX_RANK", "3", SERVER, "PMIX_SERVER_TMPDIR", "/no/such"));
    assert_true(IS_FIRST("PMI_RANK", "3", "PMI_SIZE", "4"));
    assert_true(IS_FIRST("PMI_RANK", "3", "PMI_SIZE", "4", "PMI_FD", "-1"));
    assert_true(IS_FIRST("PMI_RANK", "3", "PMI_SIZE", "4", "PMI_FD", "99999999999"));
}

static void mpi_rank_overrides_environment(void **state)
{
    (void)state;
    assert_true(IS_FIRST("A", "b"));
    cli_set_uses_ranks(true);
    cli_set_rank(2);
    assert_false(cli_prints());
    cli_set_uses_ranks(false);
    assert_true(cli_prints());
    cli_set_rank(0);
    assert_true(IS_FIRST("PMIX_RANK", "3", SERVER));
    cli_set_rank(-1);
}

static void expands_home_after_equals_sign(void **state)
{
    (void)state;
    request = (struct cli_request){
        .arguments = arguments, .positional_max = 2, .options = &options};
    char *words[] = {(char[]){"--output=~/x"}};
    setenv("HOME", "/home/me", 1);
    assert_int_equal(cli_parse(&command, &request, 1, words), STATUS_OK);
    assert_string_equal(text, "/home/me/x");
    char *others[] = {(char[]){"--output=~you/x"}};
    assert_int_equal(cli_parse(&command, &request, 1, others), STATUS_MISUSE);
    assert_non_null(strstr(status_message(), "only ~/ is expanded"));
    char *apart[] = {(char[]){"--output"}, (char[]){"~/x"}}; /* not expanded yet */
    assert_int_equal(cli_parse(&command, &request, 2, apart), STATUS_OK);
    assert_string_equal(text, "~/x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_arguments),
        cmocka_unit_test(settings_are_applied_after_the_file),
        cmocka_unit_test(reports_errors),
        cmocka_unit_test(rank_variable_requires_its_server),
        cmocka_unit_test(ignores_stale_variables),
        cmocka_unit_test(mpi_rank_overrides_environment),
        cmocka_unit_test(expands_home_after_equals_sign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
