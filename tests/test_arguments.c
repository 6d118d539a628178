/* cli_parse: the arguments of a command, with a command of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../src/cli/cli.c" /* of the program, not of the library */

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
                                   .takes_set = true,
                                   .options = &options,
                                   .positional_max = 2};
    options_defaults(&options);
    return cli_parse(&command, &request, argc, argv);
}

static void parsed(const char *line)
{
    if (parse(line) != STATUS_OK)
        fail_msg("%s: %s", line, status_message());
}

static void refused(const char *line, const char *message)
{
    enum status status = parse(line);
    if (status != STATUS_MISUSE || !strstr(status_message(), message))
        fail_msg("%s gave %d: %s\nnot: %s", line, status, status_message(), message);
}

static void arguments_are_read(void **state)
{
    (void)state;
    parsed("a.mid -o out --flag --count 3 --seconds=-0.5 b.mid");
    assert_string_equal(text, "out");
    assert_true(flag);
    assert_int_equal(integer, 3);
    assert_true(number == -0.5);
    assert_int_equal(request.positional_count, 2);
    assert_string_equal(request.positionals[0], "a.mid");
    assert_string_equal(request.positionals[1], "b.mid");
    parsed("--seconds -1 - -- --count");
    assert_true(number == -1);
    assert_string_equal(request.positionals[0], "-");
    assert_string_equal(request.positionals[1], "--count");
    assert_int_equal(integer, 0);
    parsed("--each one --flag --each=two");
    assert_string_equal(gathered, "one,two,");
    refused("--each bad --each three", "bad is bad");
    refused("--each", "play: --each needs a value: --each TEXT");
    assert_string_equal(gathered, "one,two,");
    parsed("-o -");
    assert_string_equal(text, "-");
    parsed("--count 1 --count 2");
    assert_int_equal(integer, 2);
}

static void settings_wait_for_their_file(void **state)
{
    (void)state;
    parsed("--top-k 5 --no-guard --batch=64 --set run.keep=9 --temperature .5 --seed 7");
    assert_int_equal(options.sample.top_k, 0);
    assert_int_equal(options_read_text(&options, "[sample]\ntop_k = 3\ntop_p = .5", "a"),
                     STATUS_OK);
    assert_int_equal(cli_apply_settings(&request), STATUS_OK);
    assert_int_equal(options.sample.top_k, 5);
    assert_true(options.sample.top_p == 0.5 && options.sample.temperature == 0.5);
    assert_false(options.sample.guard);
    assert_int_equal(options.train.batch, 64);
    assert_int_equal(options.run.keep, 9);
    assert_int_equal(options.train.seed, 7); /* [train] stands before [sample] */
    assert_int_equal(options.sample.seed, 1);
    parsed("--no-guard --guard --allow-mixed-cores");
    assert_int_equal(cli_apply_settings(&request), STATUS_OK);
    assert_true(options.sample.guard);
    assert_true(options.train.allow_mixed_cores);
    parsed("--guard=off --set train.batch=8 --batch 16");
    assert_int_equal(cli_apply_settings(&request), STATUS_OK);
    assert_false(options.sample.guard);
    assert_int_equal(options.train.batch, 16); /* the last one counts */
}

static void faults_are_told(void **state)
{
    (void)state;
    refused("--cuont 3",
            "play: unknown option --cuont; did you mean --count? (all: tutti play");
    refused("--temprature 3", "did you mean --temperature?");
    refused("--top_kk 3", "did you mean --top-k?");
    refused("--keep 3", "play: unknown option --keep"); /* [run] is not taken as --key */
    refused("-x", "play: unknown option -x");
    refused("--count", "play: --count needs a value: --count N");
    refused("--count --flag", "play: --count needs a value: --count N, found --flag");
    refused("-o --flag", "play: -o needs a value: -o FILE, found --flag");
    refused("--count 0", "play: --count 0: expected a whole number from 1 to 64");
    refused("--count 1e1", "play: --count 1e1: expected a whole number from 1 to 64");
    refused("--count 65", "expected a whole number from 1 to 64");
    refused("--seconds 11", "play: --seconds 11: expected a number from -1 to 10");
    refused("--seconds nan", "expected a number from -1 to 10");
    refused("--seconds=", "expected a number from -1 to 10");
    refused("--flag=yes", "play: --flag takes no value");
    refused("--no-guard=1", "play: --no-guard takes no value");
    refused("--no-batch", "play: unknown option --no-batch");
    refused("--top-k x",
            "--top-k: sample.top_k = x: expected a whole number from 0 to 65536");
    refused("--set batch=3", "--set batch=3: expected section.key=value");
    refused("--set train.btach=3",
            "--set: unknown key btach in [train]; did you mean batch?");
    refused("--set", "play: --set needs a value");
    refused("a b c", "play: one argument too many: c (usage: tutti play FILE...)");
    assert_int_equal(parse(""), STATUS_OK);
    request.positional_min = 1;
    assert_int_equal(cli_parse(&command, &request, 0, NULL), STATUS_MISUSE);
    assert_string_equal(status_message(),
                        "play: an argument is missing (usage: tutti play FILE...)");
}

static void set_environment(const char *name, const char *rank)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK",
                                        "SLURM_PROCID"};
    for (int i = 0; i < 4; i++)
        unsetenv(names[i]);
    if (name)
        setenv(name, rank, 1);
}

static void one_process_speaks_for_its_launch(void **state)
{
    (void)state;
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK",
                                        "SLURM_PROCID"};
    set_environment(NULL, NULL);
    assert_true(cli_is_first_process());
    for (int i = 0; i < 4; i++) {
        set_environment(names[i], "0");
        assert_true(cli_is_first_process());
        set_environment(names[i], "10");
        assert_false(cli_is_first_process());
        cli_set_uses_ranks(true);
        assert_false(cli_speaks());
        cli_set_uses_ranks(false);
        assert_true(cli_speaks());
    }
    setenv("OMPI_COMM_WORLD_RANK", "0", 1); /* mpirun's own daemon was started by srun */
    assert_true(cli_is_first_process());
    set_environment(NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_are_read),
        cmocka_unit_test(settings_wait_for_their_file),
        cmocka_unit_test(faults_are_told),
        cmocka_unit_test(one_process_speaks_for_its_launch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
