# `cmake --install`: the program, every library with its headers, and the package that find_package(Jigsaw) reads.
#
# The libraries are those that the source folders declare, so that a new one needs no line here. They are exported as
# jigsaw::<name> like their aliases in the build; headers lie below include/jigsaw and are spelled as in the tree
# ("graph/stage.h").
include(CMakePackageConfigHelpers)

function(jigsaw_libraries_below folder result)
  get_property(targets DIRECTORY ${folder} PROPERTY BUILDSYSTEM_TARGETS)
  get_property(subfolders DIRECTORY ${folder} PROPERTY SUBDIRECTORIES)
  set(libraries)
  foreach(target ${targets})
    get_target_property(type ${target} TYPE)
    if(type MATCHES "^(STATIC|INTERFACE|OBJECT|MODULE)_LIBRARY$" AND target MATCHES "^jigsaw_")
      list(APPEND libraries ${target})
    endif()
  endforeach()
  foreach(subfolder ${subfolders})
    jigsaw_libraries_below(${subfolder} below)
    list(APPEND libraries ${below})
  endforeach()
  set(${result} ${libraries} PARENT_SCOPE)
endfunction()

set(jigsaw_libraries jigsaw_warnings)
foreach(folder core graph scheduler rollout migration workers)
  jigsaw_libraries_below(${PROJECT_SOURCE_DIR}/${folder} below)
  list(APPEND jigsaw_libraries ${below})
endforeach()
foreach(library ${jigsaw_libraries})
  string(REGEX REPLACE "^jigsaw_" "" name ${library})
  set_target_properties(${library} PROPERTIES EXPORT_NAME ${name})
  get_target_property(type ${library} TYPE)
  if(NOT type STREQUAL "INTERFACE_LIBRARY")
    target_compile_features(${library} PUBLIC cxx_std_20)
  endif()
endforeach()

set(jigsaw_package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/Jigsaw)
install(TARGETS ${jigsaw_libraries} EXPORT JigsawTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  OBJECTS DESTINATION ${CMAKE_INSTALL_LIBDIR}
  FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/jigsaw)
# The headers that protoc makes belong to no file set, yet installed headers include them.
install(DIRECTORY ${PROJECT_BINARY_DIR}/generated/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/jigsaw
  FILES_MATCHING PATTERN "*.pb.h")
install(EXPORT JigsawTargets NAMESPACE jigsaw:: DESTINATION ${jigsaw_package_folder})
if(TARGET jigsaw)
  install(TARGETS jigsaw RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/JigsawConfig.cmake.in
  ${PROJECT_BINARY_DIR}/JigsawConfig.cmake INSTALL_DESTINATION ${jigsaw_package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/JigsawConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES
  ${PROJECT_BINARY_DIR}/JigsawConfig.cmake ${PROJECT_BINARY_DIR}/JigsawConfigVersion.cmake
  ${CMAKE_CURRENT_LIST_DIR}/dependencies.cmake
  DESTINATION ${jigsaw_package_folder})
