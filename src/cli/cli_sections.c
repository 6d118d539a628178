/* cli_sections: the table of sections of settings. */
#include "cli.h"

const struct cli_section cli_sections[CLI_SECTIONS] = {{"data", SECTION_DATA},
                                                       {"model", SECTION_MODEL},
                                                       {"train", SECTION_TRAIN},
                                                       {"run", SECTION_RUN},
                                                       {"sample", SECTION_SAMPLE}};
