# weir_google_api and weir_envoy_api: built once for all presets by cmake/third_party, imported here.
set(root "${CMAKE_SOURCE_DIR}/build/third_party")
set(WEIR_THIRD_PARTY_PROTOS "${root}/protos")
execute_process(COMMAND "${CMAKE_SOURCE_DIR}/scripts/third-party-protos" RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "the third-party protobuf files are missing; see the message above")
endif()
execute_process(
  COMMAND "${CMAKE_COMMAND}" -S "${CMAKE_SOURCE_DIR}/cmake/third_party" -B "${root}/build" -G Ninja
    "-DWEIR_PROTOS=${root}/protos" "-DWEIR_GENERATED=${root}/generated"
  OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "configuring the third-party protobuf files failed:\n${output}")
endif()
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS scripts/third-party-protos cmake/third_party/envoy_protos.txt)

add_custom_target(weir_third_party
  COMMAND "${CMAKE_COMMAND}" --build "${root}/build"
  BYPRODUCTS "${root}/build/libweir_google_api.a" "${root}/build/libweir_envoy_api.a"
  COMMENT "third-party protobuf files (built once for all presets)" USES_TERMINAL VERBATIM)
foreach(name google envoy)
  add_library(weir_${name}_api STATIC IMPORTED GLOBAL)
  set_target_properties(weir_${name}_api PROPERTIES
    IMPORTED_LOCATION "${root}/build/libweir_${name}_api.a"
    INTERFACE_INCLUDE_DIRECTORIES "${root}/generated/${name}")
  file(MAKE_DIRECTORY "${root}/generated/${name}")
  add_dependencies(weir_${name}_api weir_third_party)
endforeach()
target_link_libraries(weir_google_api INTERFACE protobuf::libprotobuf)
target_link_libraries(weir_envoy_api INTERFACE weir_google_api gRPC::grpc++ protobuf::libprotobuf)
