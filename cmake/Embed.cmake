# manytun_embed(TARGET file): makes the file's bytes available to TARGET as
#   extern const unsigned char embedded_NAME[]; extern const size_t embedded_NAME_len;
# where NAME is the file's name with every character outside [a-z0-9] replaced by '_'.
function(manytun_embed target file)
  get_filename_component(name "${file}" NAME)
  string(TOLOWER "${name}" name)
  string(REGEX REPLACE "[^a-z0-9]" "_" name "${name}")
  set(output "${CMAKE_CURRENT_BINARY_DIR}/embedded/${name}.c")
  add_custom_command(OUTPUT "${output}"
    COMMAND "${CMAKE_COMMAND}" -DINPUT=${PROJECT_SOURCE_DIR}/${file} -DOUTPUT=${output}
            -DNAME=${name} -P "${PROJECT_SOURCE_DIR}/cmake/EmbedFile.cmake"
    DEPENDS "${PROJECT_SOURCE_DIR}/${file}" "${PROJECT_SOURCE_DIR}/cmake/EmbedFile.cmake"
    VERBATIM)
  target_sources(${target} PRIVATE "${output}")
endfunction()

# manytun_embed_folder(TARGET folder NAME pattern...): makes the folder's files of these patterns
# available to TARGET as the table NAME (EmbedFolder.cmake).
function(manytun_embed_folder target folder name)
  set(output "${CMAKE_CURRENT_BINARY_DIR}/embedded/${name}.c")
  list(TRANSFORM ARGN PREPEND "${PROJECT_SOURCE_DIR}/${folder}/")
  file(GLOB paths CONFIGURE_DEPENDS ${ARGN})
  set(files "")
  foreach(path IN LISTS paths)
    get_filename_component(file "${path}" NAME)
    list(APPEND files "${file}")
  endforeach()
  string(REPLACE ";" "|" files "${files}")
  add_custom_command(OUTPUT "${output}"
    COMMAND "${CMAKE_COMMAND}" -DFOLDER=${PROJECT_SOURCE_DIR}/${folder} "-DFILES=${files}"
            -DOUTPUT=${output} -DNAME=${name} -P "${PROJECT_SOURCE_DIR}/cmake/EmbedFolder.cmake"
    DEPENDS ${paths} "${PROJECT_SOURCE_DIR}/cmake/EmbedFolder.cmake"
    VERBATIM)
  target_sources(${target} PRIVATE "${output}")
endfunction()
