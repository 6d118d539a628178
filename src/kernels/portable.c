/* portable: the kernels compiled for this instruction set (see body.h, CMakeLists.txt).
 */
#define KERNELS_NAME kernels_portable
#define KERNELS_LABEL "portable"
#include "variants.h"
#include "body.h"
