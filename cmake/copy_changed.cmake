# cmake -Dfrom=DIR -Dto=DIR -P copy_changed.cmake: copies the files of `from` that differ or are missing in `to`.
file(GLOB_RECURSE files RELATIVE "${from}" "${from}/*")
foreach(file ${files})
  get_filename_component(folder "${to}/${file}" DIRECTORY)
  file(MAKE_DIRECTORY "${folder}")
  file(COPY_FILE "${from}/${file}" "${to}/${file}" ONLY_IF_DIFFERENT)
endforeach()
