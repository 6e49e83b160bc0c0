# LibTorch for the CPU as the imported target jigsaw::torch.
#
# Not find_package(Torch): the wheel's package file drags CUDA in. Two libraries are enough. They come from Torch_DIR (a
# user's own LibTorch: .../share/cmake/Torch; CMake or environment variable) or from what bootstrap.sh unpacked into the
# cache.
set(jigsaw_cache "$ENV{XDG_CACHE_HOME}")
if(NOT jigsaw_cache)
  set(jigsaw_cache "$ENV{HOME}/.cache")
endif()
if(Torch_DIR)
  get_filename_component(jigsaw_torch_root "${Torch_DIR}/../../.." ABSOLUTE)
elseif(DEFINED ENV{Torch_DIR})
  get_filename_component(jigsaw_torch_root "$ENV{Torch_DIR}/../../.." ABSOLUTE)
else()
  set(jigsaw_torch_root "${jigsaw_cache}/jigsaw/libtorch-2.15.0/torch")
endif()
if(NOT EXISTS "${jigsaw_torch_root}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "No LibTorch in ${jigsaw_torch_root}: run ./bootstrap.sh, or pass -DTorch_DIR=.../share/cmake/Torch, "
                      "or build without the trainer by -DJIGSAW_WITH_TORCH=OFF.")
endif()

# libtorch_cpu.so of the wheel wants the CUDA runtime and CUPTI at load time, though no GPU is used. bootstrap.sh puts
# them beside it where there is no CUDA toolkit. A LibTorch made for the CPU wants neither.
set(jigsaw_torch_rpath "${jigsaw_torch_root}/lib")
foreach(library libcudart.so.13 libcupti.so.13)
  file(GLOB jigsaw_found
    "${jigsaw_torch_root}/../nvidia/*/lib/${library}"
    "/usr/local/cuda*/lib64/${library}" "/usr/local/cuda*/extras/CUPTI/lib64/${library}")
  if(jigsaw_found)
    list(GET jigsaw_found 0 jigsaw_found)
    get_filename_component(jigsaw_found "${jigsaw_found}" DIRECTORY)
    list(APPEND jigsaw_torch_rpath "${jigsaw_found}")
  endif()
endforeach()
list(REMOVE_DUPLICATES jigsaw_torch_rpath)

add_library(jigsaw::c10 SHARED IMPORTED)
set_target_properties(jigsaw::c10 PROPERTIES IMPORTED_LOCATION "${jigsaw_torch_root}/lib/libc10.so")
add_library(jigsaw::torch_cpu SHARED IMPORTED)
set_target_properties(jigsaw::torch_cpu PROPERTIES IMPORTED_LOCATION "${jigsaw_torch_root}/lib/libtorch_cpu.so")
add_library(jigsaw::torch INTERFACE IMPORTED)
target_include_directories(jigsaw::torch SYSTEM INTERFACE
  "${jigsaw_torch_root}/include" "${jigsaw_torch_root}/include/torch/csrc/api/include")
target_link_libraries(jigsaw::torch INTERFACE jigsaw::torch_cpu jigsaw::c10)
foreach(folder ${jigsaw_torch_rpath})
  target_link_options(jigsaw::torch INTERFACE "LINKER:-rpath,${folder}" "LINKER:-rpath-link,${folder}")
endforeach()
# Without the build's own rpath on the executables they would not find the libraries above after installation.
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)
