#!/usr/bin/env bash
# Installs what the peers of the input benchmark need, as far as this machine
# allows, beside the project's own pinned packages, which stay as they are.
#   training/install_peers.sh [PYTHON]   (default: .venv/bin/python)
# Each on its own: one that fails stops none of the others. Ends with a table
# of which peers run, and why the others do not.
set -uo pipefail
python=${1:-.venv/bin/python}
case $python in
  */*) python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python") ;;
esac
cd "$(dirname "$0")/.." || exit 1
"$python" -c 'import yourface_tfds' || {
  echo "error: $python cannot import yourface_tfds; run make venv" >&2
  exit 1
}
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# pip_install LIBRARY ARGUMENT...: remembers why it failed.
pip_install() {
  local library=$1
  shift
  echo "Installing $library"
  "$python" -m pip install --quiet --disable-pip-version-check \
    --constraint constraints.txt "$@" >"$logs/$library.log" 2>&1 && return
  # The first words of pip are the reason, the last only say that it failed.
  grep -m 1 -E 'error: |ERROR: |RuntimeError' "$logs/$library.log" \
    >"$logs/$library.failed" || echo "pip failed" >"$logs/$library.failed"
}

# FFCV is compiled here, against OpenCV 4 and TurboJPEG.
if ! pkg-config --exists opencv4 libturbojpeg 2>/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing FFCV's system packages"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update && apt-get install --yes --no-install-recommends \
      g++ pkg-config libopencv-dev libturbojpeg0-dev; } >"$logs/apt" 2>&1 ||
      tail -n 3 "$logs/apt" >&2
  else
    echo "FFCV wants, from root: apt-get install g++ pkg-config" \
      "libopencv-dev libturbojpeg0-dev" >&2
  fi
fi

# PyPI's wheel brings CUDA along; a build for the CPU of this version that is
# there before stays.
pip_install torch torch==2.13.0
if pkg-config --exists opencv4 libturbojpeg 2>/dev/null; then
  # Numba and OpenCV must know the NumPy of constraints.txt.
  pip_install ffcv ffcv==1.0.2 numba==0.68.1 opencv-python==5.0.0.93 \
    pytorch-pfn-extras==0.9.0
else
  echo "pkg-config knows no opencv4 and libturbojpeg" >"$logs/ffcv.failed"
fi
# No wheel comes without CUDA; this one runs without a GPU too.
pip_install dali nvidia-dali-cuda120==2.4.0
pip_install grain grain==0.2.18
pip_install webdataset webdataset==1.0.2
# It asks for NumPy below 2.2 and for the clients of four clouds; what reading
# local files imports is these, see peers/mosaic_streaming.py.
pip_install streaming --no-deps mosaicml-streaming==0.13.0 brotli==1.2.1 \
  python-snappy==0.7.3 cramjam==2.14.0 zstd==1.5.7.2 xxhash==3.8.2 \
  catalogue==2.0.10
pip_install datasets datasets==5.2.0

echo
"$python" - "$logs" <<'TABLE'
import pathlib
import sys

from yourface_tfds.peers import registry

for failed in sorted(pathlib.Path(sys.argv[1]).glob("*.failed")):
  print(f"{failed.stem} was not installed: {failed.read_text().strip()}")
for name, one in registry.PEERS.items():
  print(f"{name:<20}{one.missing() or 'runs'}", flush=True)
TABLE
