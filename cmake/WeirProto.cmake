# weir_proto(TARGET weir_api ROOT dir [IMPORTS …] [GRPC files…] FILES files…): generates and compiles protobuf files.
# Generated code is third-class citizen: fixed flags, no warnings, no sanitizer (protobuf 3.21 itself is not built with
# one), so that every preset shares the same objects through ccache.
function(weir_proto)
  cmake_parse_arguments(P "" "TARGET;ROOT;OUT" "IMPORTS;FILES;GRPC" ${ARGN})
  set(import_flags "")
  foreach(dir ${P_IMPORTS})
    list(APPEND import_flags "-I${dir}")
  endforeach()
  set(outputs "")
  set(sources "")
  set(inputs "")
  foreach(file ${P_FILES})
    string(REGEX REPLACE "\\.proto$" "" stem "${file}")
    list(APPEND outputs "${P_OUT}/${stem}.pb.cc" "${P_OUT}/${stem}.pb.h")
    list(APPEND sources "${P_OUT}/${stem}.pb.cc")
    list(APPEND inputs "${P_ROOT}/${file}")
  endforeach()
  # protoc writes everything anew; only what differs is copied, so that one more file compiles one more file.
  set(fresh "${CMAKE_CURRENT_BINARY_DIR}/${P_TARGET}.fresh")
  set(grpc_command "")
  if(P_GRPC)
    foreach(file ${P_GRPC})
      string(REGEX REPLACE "\\.proto$" "" stem "${file}")
      list(APPEND outputs "${P_OUT}/${stem}.grpc.pb.cc" "${P_OUT}/${stem}.grpc.pb.h")
      list(APPEND sources "${P_OUT}/${stem}.grpc.pb.cc")
    endforeach()
    set(grpc_command COMMAND protobuf::protoc "--grpc_out=${fresh}" "--plugin=protoc-gen-grpc=${WEIR_GRPC_PLUGIN}"
        "-I${P_ROOT}" ${import_flags} ${P_GRPC})
  endif()
  file(MAKE_DIRECTORY "${P_OUT}")
  list(JOIN P_FILES "\n" listing)
  file(GENERATE OUTPUT "${P_OUT}/${P_TARGET}.files" CONTENT "${listing}\n")
  add_custom_command(
    OUTPUT ${outputs}
    COMMAND "${CMAKE_COMMAND}" -E make_directory "${fresh}"
    COMMAND protobuf::protoc "--cpp_out=${fresh}" "-I${P_ROOT}" ${import_flags} ${P_FILES}
    ${grpc_command}
    COMMAND "${CMAKE_COMMAND}" "-Dfrom=${fresh}" "-Dto=${P_OUT}" -P "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/copy_changed.cmake"
    DEPENDS ${inputs} "${P_OUT}/${P_TARGET}.files"
    COMMENT "protoc ${P_TARGET}"
    VERBATIM)
  add_library(${P_TARGET} STATIC ${sources})
  target_include_directories(${P_TARGET} SYSTEM PUBLIC "${P_OUT}")
  target_link_libraries(${P_TARGET} PUBLIC protobuf::libprotobuf)
  if(P_GRPC)
    target_link_libraries(${P_TARGET} PUBLIC gRPC::grpc++)
  endif()
  # The directory's sanitizer flags are not wanted here.
  set_target_properties(${P_TARGET} PROPERTIES COMPILE_OPTIONS "-O1;-g0;-w")
  if(P_GRPC)
    # What a gRPC file reads costs ten times what stands in it, so they are compiled together; messages cannot be.
    set(alone ${sources})
    list(FILTER alone EXCLUDE REGEX "\\.grpc\\.pb\\.cc$")
    set_source_files_properties(${alone} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    set_target_properties(${P_TARGET} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
  endif()
endfunction()
