# cmake -DBUILD=.. -DCONSUMER=.. -DEXAMPLE=.. -DWORK=.. -P: installs BUILD into WORK/prefix, then configures, builds and
# runs CONSUMER and, where it is given, EXAMPLE, which uses the libraries that need LibTorch.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  message("${output}")
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "failed (${result}): ${ARGN}")
  endif()
endfunction()

function(build source folder)
  run(${CMAKE_COMMAND} -S ${source} -B ${folder} -G Ninja
    -DCMAKE_PREFIX_PATH=${WORK}/prefix -DCMAKE_BUILD_TYPE=${CONFIG}
    -DCMAKE_C_COMPILER=${C_COMPILER} -DCMAKE_CXX_COMPILER=${CXX_COMPILER} "-DCMAKE_CXX_FLAGS=${FLAGS}")
  run(${CMAKE_COMMAND} --build ${folder})
endfunction()

file(REMOVE_RECURSE ${WORK})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix --config ${CONFIG})
build(${CONSUMER} ${WORK}/build)
run(${WORK}/build/consumer)
if(EXAMPLE)
  build(${EXAMPLE} ${WORK}/build-example)
  run(${WORK}/build-example/trainer_api ${WORK}/sort-policy)
endif()
if(EXISTS ${BUILD}/examples/cli/jigsaw)
  run(${WORK}/prefix/bin/jigsaw --help)
  if(EXAMPLE)
    run(${WORK}/prefix/bin/jigsaw inspect ${WORK}/sort-policy)
    # The program finds the installed libjigsaw_torch.so, and says so where it is not there.
    set(train_a_step ${WORK}/prefix/bin/jigsaw bench step
      --model ${WORK}/sort-policy --prompt-tokens 2 --lengths 2x4)
    run(${train_a_step})
    file(GLOB_RECURSE library ${WORK}/prefix/*/libjigsaw_torch.so)
    file(RENAME ${library} ${library}.away)
    execute_process(COMMAND ${train_a_step} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
    if(result EQUAL 0 OR NOT output MATCHES "jigsaw: cannot load LibTorch.*libjigsaw_torch.so: cannot open")
      message(FATAL_ERROR "without libjigsaw_torch.so (${result}): ${output}")
    endif()
  endif()
endif()
