#!/usr/bin/env bash
# From a fresh checkout to two trained pipelines: sets the machine up, builds, and runs configs/quickstart.yaml on two
# worker processes. Options are handed on to `jigsaw run`, e.g. --set pipelines.0.train.steps=50.
set -euo pipefail
cd "$(dirname "$0")/.."

out=runs/quickstart-$(date +%Y%m%d-%H%M%S)
./bootstrap.sh
cmake --preset release
cmake --build --preset release --target jigsaw
jigsaw=build/release/examples/cli/jigsaw
"$jigsaw" run configs/quickstart.yaml --workers 2 --out "$out" "$@"
"$jigsaw" report "$out"
