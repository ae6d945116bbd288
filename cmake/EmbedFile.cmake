# Writes OUTPUT, a C file that holds the bytes of INPUT under the name embedded_NAME.
file(READ "${INPUT}" hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)"
       "\\1\n" bytes "${bytes}")
file(WRITE "${OUTPUT}"
  "#include <stddef.h>\n\n"
  "extern const unsigned char embedded_${NAME}[];\nextern const size_t embedded_${NAME}_len;\n\n"
  "const unsigned char embedded_${NAME}[] = {\n${bytes}0x00};\n"
  "const size_t embedded_${NAME}_len = sizeof(embedded_${NAME}) - 1;\n")
