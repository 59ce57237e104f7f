# weir_descriptors(TARGET weir_api NAME Descriptors ROOT dir [IMPORTS …] OUT dir FILES files… GENERATED files…): adds weir::api::NAME()
# to the target, which answers a google.protobuf.FileDescriptorSet of the files with their comments, which generated code does not keep.
# GENERATED are those that a rule puts into OUT.
function(weir_descriptors)
  cmake_parse_arguments(P "" "TARGET;NAME;ROOT;OUT" "IMPORTS;FILES;GENERATED" ${ARGN})
  set(import_flags "")
  foreach(dir ${P_IMPORTS})
    list(APPEND import_flags "-I${dir}")
  endforeach()
  set(inputs ${P_FILES})
  list(TRANSFORM inputs PREPEND "${P_ROOT}/")
  set(generated ${P_GENERATED})
  list(TRANSFORM generated PREPEND "${P_OUT}/")
  set(set "${CMAKE_CURRENT_BINARY_DIR}/${P_TARGET}.pb")
  set(source "${P_OUT}/${P_TARGET}_descriptors.cc")
  set(embed "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/embed.cmake")
  add_custom_command(
    OUTPUT "${source}"
    COMMAND protobuf::protoc "--descriptor_set_out=${set}" --include_source_info "-I${P_ROOT}" "-I${P_OUT}"
      ${import_flags} ${P_FILES} ${P_GENERATED}
    COMMAND "${CMAKE_COMMAND}" "-Dfrom=${set}" "-Dto=${source}" -Dnamespace=weir::api "-Dname=${P_NAME}" -P "${embed}"
    DEPENDS ${inputs} ${generated} "${embed}"
    COMMENT "descriptors of ${P_TARGET}"
    VERBATIM)
  target_sources(${P_TARGET} PRIVATE "${source}")
endfunction()
