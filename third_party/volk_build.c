/* Compiles volk, which finds Vulkan's entry points, from the system package: volk.h brings volk.c in. */
#define VOLK_IMPLEMENTATION
#include <volk.h>
