# lwIP, compiled from its own source tree with our lwipopts.h (engine/stack).
if(NOT EXISTS "${LWIP_DIR}/src/Filelists.cmake")
  message(FATAL_ERROR "no lwIP source tree at ${LWIP_DIR}\n"
    "Run scripts/setup, which fetches one, or pass -DLWIP_DIR=<lwIP 2.2.1 or newer>.")
endif()
include("${LWIP_DIR}/src/Filelists.cmake")
if("${LWIP_VERSION_MAJOR}.${LWIP_VERSION_MINOR}.${LWIP_VERSION_REVISION}" VERSION_LESS 2.2.1)
  message(FATAL_ERROR "lwIP at ${LWIP_DIR} is ${LWIP_VERSION_STRING}; 2.2.1 or newer is needed")
endif()
add_library(lwip STATIC ${lwipcore_SRCS} ${lwipcore4_SRCS} ${lwipcore6_SRCS})
target_include_directories(lwip SYSTEM PUBLIC "${LWIP_DIR}/src/include")
target_include_directories(lwip PUBLIC "${PROJECT_SOURCE_DIR}/engine/stack/port")
target_compile_options(lwip PRIVATE -fno-strict-aliasing -w) # not our code to mend
