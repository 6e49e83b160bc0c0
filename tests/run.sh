#!/usr/bin/env bash
# Sets the machine up, builds, and runs the tests. The last line is "N passed, N failed".
#
#   tests/run.sh                   everything
#   tests/run.sh --label unit      only one label: unit, sim, torch, mpi, e2e
#   tests/run.sh --preset asan     another preset of CMakePresets.json; ci where none is named
#
# A compiler warning is an error here. Tests that start processes of their own (mpi, e2e) run one at a time. Without
# LibTorch, as under tsan, there is no program that they could start.
set -euo pipefail
cd "$(dirname "$0")/.." || exit

preset=ci
label=
while (($#)); do
  case $1 in
    --preset | --label)
      (($# >= 2)) || { echo "tests/run.sh: $1 wants a value; see --help" >&2; exit 2; }
      declare "${1#--}=$2"
      shift 2
      ;;
    -h | --help)
      sed -n '2,9s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    *)
      echo "tests/run.sh: unknown option '$1'; see --help" >&2
      exit 2
      ;;
  esac
done
build=build/$preset

say() { echo "== $* (at ${SECONDS}s)"; }

passed=0
failed=0
# run_tests NAME [ctest option..]: runs the tests that the options choose and adds to the counts.
run_tests() {
  local results="$PWD/$build/results-$1.xml" status=0
  say "tests: $1"
  shift
  rm -f "$results"
  ctest --preset "$preset" --no-tests=ignore --output-junit "$results" "$@" || status=$?
  local suite tests failures skipped disabled
  suite=$(tr '\n' ' ' <"$results" | grep -o '<testsuite [^>]*>')
  count() { sed -E "s/.*[[:space:]]$1=\"([0-9]+)\".*/\1/" <<<"$suite"; }
  tests=$(count tests) failures=$(count failures) skipped=$(count skipped) disabled=$(count disabled)
  passed=$((passed + tests - failures - skipped - disabled))
  failed=$((failed + failures))
  if ((status != 0 && failures == 0)); then
    echo "ctest ended with $status though it counted no failure"
    failed=$((failed + 1))
  fi
}

say "set-up"
./bootstrap.sh
say "configure: preset $preset"
cmake --preset "$preset" -DJIGSAW_WERROR=ON
say "build"
cmake --build --preset "$preset" 2>&1 | tee "$build/build.log"
if grep -E 'warning: ' "$build/build.log"; then
  echo "tests/run.sh: the build gave the warnings above" >&2
  exit 1
fi

jobs=$(nproc)
if [[ -n $label ]]; then
  [[ $label =~ ^(mpi|e2e)$ ]] && jobs=1
  run_tests "$label" -L "^$label\$" -j "$jobs"
else
  run_tests quick -LE '^(mpi|e2e)$' -j "$jobs"
  run_tests processes -L '^(mpi|e2e)$' -j 1
fi
if ((passed + failed == 0)); then
  echo "tests/run.sh: no test ran" >&2
  failed=1
fi
say "done"
echo "$passed passed, $failed failed"
((failed == 0))
