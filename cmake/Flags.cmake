# Compiler flags that every object of ours is built with, and the helper that makes a part.
add_library(manytun_flags INTERFACE)
target_include_directories(manytun_flags INTERFACE "${PROJECT_SOURCE_DIR}")
target_compile_definitions(manytun_flags INTERFACE _GNU_SOURCE
  MANYTUN_VERSION="${PROJECT_VERSION}")
target_compile_options(manytun_flags INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
  -fno-strict-aliasing -fstack-protector-strong)
if(MANYTUN_WERROR)
  target_compile_options(manytun_flags INTERFACE -Werror)
endif()
if(MANYTUN_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "MANYTUN_FUZZ needs -DCMAKE_C_COMPILER=clang")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link) # coverage, without libFuzzer's main()
endif()
if(MANYTUN_SANITIZE OR MANYTUN_FUZZ)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined
                      -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
else()
  target_compile_options(manytun_flags INTERFACE $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=2>)
endif()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
add_link_options(-Wl,-z,relro,-z,now)

# manytun_library(NAME GLOB folder... LINK library... [PRIVATE library...])
function(manytun_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "GLOB;LINK;PRIVATE")
  set(sources "")
  foreach(folder IN LISTS arg_GLOB)
    file(GLOB found CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${folder}/*.c")
    list(FILTER found EXCLUDE REGEX "/main\\.c$") # the program's own
    list(APPEND sources ${found})
  endforeach()
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC manytun_flags ${arg_LINK} PRIVATE ${arg_PRIVATE})
endfunction()
