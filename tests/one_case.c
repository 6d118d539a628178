/* one_case: linked to every test program; TUTTI_TEST_CASE in the environment is a pattern
 * (with * and ?) of the cases to run, TUTTI_TEST_SKIP one of cases to leave out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

__attribute__((constructor)) static void choose_cases(void)
{
    const char *pattern = getenv("TUTTI_TEST_CASE");
    if (pattern)
        cmocka_set_test_filter(pattern);
    pattern = getenv("TUTTI_TEST_SKIP");
    if (pattern)
        cmocka_set_skip_filter(pattern);
}
