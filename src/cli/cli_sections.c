/* cli_sections: the sections of settings, by name. */
#include "cli.h"

const struct cli_section cli_sections[CLI_SECTIONS] = {{"data", SECTION_DATA},
                                                       {"model", SECTION_MODEL},
                                                       {"train", SECTION_TRAIN},
                                                       {"run", SECTION_RUN},
                                                       {"sample", SECTION_SAMPLE}};
