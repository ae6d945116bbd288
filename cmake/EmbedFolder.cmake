# Writes OUTPUT, a C file with the files of FOLDER that FILES names (separated by '|'), as the table
# NAME of struct asset (api/assets.h). A file's tag is the start of its SHA-256.
string(REPLACE "|" ";" files "${FILES}")
set(bodies "")
set(rows "")
set(number 0)
foreach(file IN LISTS files)
  file(READ "${FOLDER}/${file}" hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)"
         "\\1\n" bytes "${bytes}")
  file(SHA256 "${FOLDER}/${file}" hash)
  string(SUBSTRING "${hash}" 0 15 tag)
  string(APPEND bodies "static const unsigned char file_${number}[] = {\n${bytes}};\n\n")
  string(APPEND rows
    "    {\"${file}\", file_${number}, sizeof(file_${number}), UINT64_C(0x${tag})},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(WRITE "${OUTPUT}"
  "#include \"api/assets.h\"\n\n${bodies}const struct asset ${NAME}[] = {\n${rows}    {0},\n};\n")
