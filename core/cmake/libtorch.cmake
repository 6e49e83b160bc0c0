# LibTorch for the CPU as the imported target jigsaw::torch.
#
# Not find_package(Torch): the wheel's package file drags CUDA in. Two libraries are enough. They come from Torch_DIR (a
# user's own LibTorch: .../share/cmake/Torch) or from what bootstrap.sh unpacked into the cache.
set(jigsaw_cache "$ENV{XDG_CACHE_HOME}")
if(NOT jigsaw_cache)
  set(jigsaw_cache "$ENV{HOME}/.cache")
endif()
if(Torch_DIR)
  get_filename_component(jigsaw_torch_root "${Torch_DIR}/../../.." ABSOLUTE)
else()
  set(jigsaw_torch_root "${jigsaw_cache}/jigsaw/libtorch-2.15.0/torch")
endif()
if(NOT EXISTS "${jigsaw_torch_root}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "No LibTorch in ${jigsaw_torch_root}: run ./bootstrap.sh, or pass -DTorch_DIR=.../share/cmake/Torch, "
                      "or build without the trainer by -DJIGSAW_WITH_TORCH=OFF.")
endif()

# libtorch_cpu.so of the wheel wants the CUDA runtime and CUPTI at load time, though no GPU is used.
set(jigsaw_torch_rpath "${jigsaw_torch_root}/lib")
foreach(library libcudart.so.13 libcupti.so.13)
  file(GLOB found
    "${jigsaw_cache}/jigsaw/libtorch-2.15.0/nvidia/*/lib/${library}"
    "/usr/local/cuda*/lib64/${library}" "/usr/local/cuda*/extras/CUPTI/lib64/${library}")
  if(found)
    list(GET found 0 first)
    get_filename_component(folder "${first}" DIRECTORY)
    list(APPEND jigsaw_torch_rpath "${folder}")
  endif()
endforeach()
list(REMOVE_DUPLICATES jigsaw_torch_rpath)

add_library(jigsaw_c10 SHARED IMPORTED)
set_target_properties(jigsaw_c10 PROPERTIES IMPORTED_LOCATION "${jigsaw_torch_root}/lib/libc10.so")
add_library(jigsaw_torch_cpu SHARED IMPORTED)
set_target_properties(jigsaw_torch_cpu PROPERTIES IMPORTED_LOCATION "${jigsaw_torch_root}/lib/libtorch_cpu.so")
add_library(jigsaw_torch INTERFACE)
add_library(jigsaw::torch ALIAS jigsaw_torch)
target_include_directories(jigsaw_torch SYSTEM INTERFACE
  "${jigsaw_torch_root}/include" "${jigsaw_torch_root}/include/torch/csrc/api/include")
target_link_libraries(jigsaw_torch INTERFACE jigsaw_torch_cpu jigsaw_c10)
foreach(folder ${jigsaw_torch_rpath})
  target_link_options(jigsaw_torch INTERFACE "-Wl,-rpath,${folder}" "-Wl,-rpath-link,${folder}")
endforeach()
# Without the build's own rpath on the executables they would not find the libraries above after installation.
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)
