# The Debian packages, made by CPack from the programs of a build (`./dev package`): weir-server, weir-agent, weir-gateway,
# weir-cli. What is in them beside programs comes from deploy/debian, manual pages and completion from the programs themselves.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)
set(debian "${CMAKE_SOURCE_DIR}/deploy/debian")
set(made "${CMAKE_BINARY_DIR}/package")

# Manual pages and completion: from --help of each program, so that neither can differ from it.
set(programs weir weir-server weir-agent weir-tier1 weir-tier2 weir-podproxy)
set(stamp "${made}/stamp")
add_custom_command(OUTPUT "${stamp}"
  COMMAND sh "${CMAKE_SOURCE_DIR}/scripts/package-files" "${CMAKE_BINARY_DIR}/bin" "${made}" "${PROJECT_VERSION}"
  COMMAND "${CMAKE_COMMAND}" -E touch "${stamp}"
  DEPENDS ${programs} "${CMAKE_SOURCE_DIR}/scripts/package-files" "${CMAKE_SOURCE_DIR}/scripts/help-to-man"
    "${debian}/changelog"
  COMMENT "manual pages and completion"
  VERBATIM)
add_custom_target(weir_package_files DEPENDS "${stamp}")

# weir_package(NAME PROGRAMS … UNITS … USER … STATE folders… PURGE paths… UPGRADE "what deb-systemd-invoke does"): what the
# package of this name (and component) holds, and what its scripts do.
function(weir_package name)
  cmake_parse_arguments(P "" "USER;UPGRADE" "PROGRAMS;UNITS;STATE;PURGE" ${ARGN})
  install(TARGETS ${P_PROGRAMS} RUNTIME DESTINATION usr/bin COMPONENT ${name})
  install(DIRECTORY "${made}/${name}/" DESTINATION usr/share COMPONENT ${name})
  install(FILES "${debian}/copyright" DESTINATION "usr/share/doc/${name}" COMPONENT ${name})
  if(NOT P_USER)
    return()
  endif()
  set(patterns "")
  foreach(unit ${P_UNITS})
    install(FILES "${debian}/${unit}" DESTINATION lib/systemd/system COMPONENT ${name})
    string(REPLACE "@." "@*." pattern "${unit}")
    list(APPEND patterns "'${pattern}'")
    list(APPEND P_PURGE "/etc/systemd/system/multi-user.target.wants/${pattern}")
  endforeach()
  list(JOIN patterns " " UNITS)
  list(JOIN P_STATE " " STATE)
  list(JOIN P_PURGE " " PURGE)
  set(USER "${P_USER}")
  set(UPGRADE "${P_UPGRADE} ${UNITS}")
  set(scripts "")
  foreach(script postinst prerm postrm)
    configure_file("${debian}/${script}.in" "${made}/scripts/${name}/${script}" @ONLY FILE_PERMISSIONS
      OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
    list(APPEND scripts "${made}/scripts/${name}/${script}")
  endforeach()
  string(TOUPPER "${name}" upper)
  set("CPACK_DEBIAN_${upper}_PACKAGE_CONTROL_EXTRA" "${scripts}" PARENT_SCOPE)
  set("CPACK_DEBIAN_${upper}_PACKAGE_DEPENDS" adduser PARENT_SCOPE)
endfunction()

weir_package(weir-server PROGRAMS weir-server UNITS weir-server.service USER weir-server STATE /var/lib/weir-server
  PURGE /var/lib/weir-server /etc/weir/server.yaml /usr/share/weir/packages UPGRADE try-restart)
weir_package(weir-agent PROGRAMS weir-agent UNITS weir-agent.service USER weir STATE /var/lib/weir-agent
  PURGE /var/lib/weir-agent /etc/weir/agent.yaml /etc/weir/join-token /etc/weir/cluster /etc/weir/discovery
  UPGRADE try-restart)
weir_package(weir-gateway PROGRAMS weir-tier1 weir-tier2 weir-podproxy USER weir
  UNITS weir-tier1@.service weir-tier2@.service weir-podproxy@.service UPGRADE reload)
install(PROGRAMS "${debian}/take-over" DESTINATION usr/lib/weir COMPONENT weir-gateway)
weir_package(weir-cli PROGRAMS weir)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME weir)
set(CPACK_PACKAGE_VERSION "${PROJECT_VERSION}")
set(CPACK_PACKAGE_CONTACT "The Weir authors <weir@weir.dev>")
set(CPACK_PACKAGING_INSTALL_PREFIX "/")
set(CPACK_INSTALL_CMAKE_PROJECTS "${CMAKE_BINARY_DIR};weir;ALL;/")
set(CPACK_OUTPUT_FILE_PREFIX "${CMAKE_SOURCE_DIR}/build/packages")
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL weir-server weir-agent weir-gateway weir-cli)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_HOMEPAGE "https://weir.dev")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
foreach(name ${CPACK_COMPONENTS_ALL})
  string(TOUPPER "${name}" upper)
  set("CPACK_DEBIAN_${upper}_PACKAGE_NAME" "${name}")
endforeach()
set(CPACK_COMPONENT_WEIR-SERVER_DESCRIPTION "management server of Weir
Holds organizations, tenants, workspaces, gateways and policies, decides who
may change them, and tells each cluster its part.")
set(CPACK_COMPONENT_WEIR-AGENT_DESCRIPTION "local control plane of a cluster of Weir
Turns the part of the intent that concerns its cluster into the configuration
of the gateways there, signs their identities, and goes on without the server.")
set(CPACK_COMPONENT_WEIR-GATEWAY_DESCRIPTION "gateways and pod proxy of Weir
The tier-1 gateway spreads requests over clusters by weight and health, the
tier-2 gateway receives them in a cluster, the pod proxy stands beside a
service.")
set(CPACK_COMPONENT_WEIR-CLI_DESCRIPTION "command line of Weir
Applies documents, shows what is stored and served and why, and joins clusters.")
set(CPACK_DEBIAN_WEIR-AGENT_PACKAGE_RECOMMENDS weir-gateway)
include(CPack)
