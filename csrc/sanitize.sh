#!/usr/bin/env bash
# The kernel tests under the address and undefined-behaviour sanitizers: csrc/sanitize.sh [PYTHON] [pytest arguments]
# PYTHON is an interpreter where the project's test requirements are installed. Kernels of every instruction set that
# this processor has are run. Memory that Python and MLX hold until the end is not a leak here.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${1:-python3}
shift || true
build=${PTM_SANITIZE_BUILD:-$here/build/sanitize}
cmake -S "$here" -B "$build" -G Ninja -DPTM_SANITIZE=ON -DPython_EXECUTABLE="$(command -v "$python")"
ninja -C "$build"
mkdir -p "$build/package/pytorch_to_mlx_cpu"
cp "$here"/pytorch_to_mlx_cpu/__init__.py "$build"/_cpu*.so "$build"/libptm_blas.so "$build/package/pytorch_to_mlx_cpu/"
compiler=$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
export LD_PRELOAD="$("$compiler" -print-file-name=libasan.so) $("$compiler" -print-file-name=libubsan.so) $("$compiler" -print-file-name=libstdc++.so.6)"
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export PYTHONPATH="$build/package:$here/..${PYTHONPATH:+:$PYTHONPATH}" PYTHONMALLOC=malloc
levels=base
grep -qw avx2 /proc/cpuinfo && levels="$levels avx2"
grep -qw avx512vl /proc/cpuinfo && levels="$levels avx512"
tests=$here/../tests/backend
without=(
  --ignore "$tests/test_blas.py" # it tests speed
  --deselect "tests/backend/test_memory.py::test_malloc_gives_the_holes_back" # so does this
  --deselect "tests/backend/test_process.py::test_large_arrays_reuse_memory_unless_the_user_says_otherwise" # it tests glibc's malloc
)
for level in $levels; do
  echo "== $level"
  PYTORCH_TO_MLX_ISA=$level "$python" -m pytest -q -x -p no:cacheprovider --rootdir "$here/.." "$tests" "${without[@]}" "$@"
done
