#!/usr/bin/env bash
# Lint, type-check and test everything, on a machine with no more than Python and git.
#
#   scripts/test.sh            all tests but those of the heavy exporters
#   scripts/test.sh --quick    for daily work: without the simulated GPU, the browser, real language models, and
#                              what takes half a second and more
#   scripts/test.sh --all      those of the exporters, too, in an environment of their own (PyTorch, 2 GB)
#   scripts/test.sh ARGS...    these arguments go to pytest, after any of the options above
#
# One process a core runs the tests, file by file; `pytest` alone runs them in one.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh

extent=normal
case "${1:-}" in
  --quick | --all)
    extent=${1#--}
    shift
    ;;
esac

make_environment dev

# The GPU plugin compiles for a simulated device where Intel's OpenCL driver is installed.
require_opencl() {
  if ldconfig -p | grep -q libOpenCL.so.1 && [ -e /etc/OpenCL/vendors/intel.icd ]; then
    return
  elif may_install; then
    install_packages intel-opencl-icd ocl-icd-libopencl1
  else
    echo "Tests on the GPU plugin need: apt-get install intel-opencl-icd ocl-icd-libopencl1" >&2
  fi
}

# The values of OpenCL kernels are checked on PoCL, which runs them on the CPU.
require_pocl() {
  if [ -e /etc/OpenCL/vendors/pocl.icd ]; then
    return
  elif may_install; then
    install_packages pocl-opencl-icd
  else
    echo "Tests of the values of OpenCL kernels need: apt-get install pocl-opencl-icd" >&2
  fi
}

# Reports are opened in a browser.
require_chromium() {
  if [ -x /usr/bin/chromium ] && [ -x /usr/bin/chromedriver ]; then
    return
  elif may_install; then
    install_packages chromium chromium-driver
  else
    echo "Tests of reports need: apt-get install chromium chromium-driver" >&2
  fi
}

selection=()
if [ "$extent" = quick ]; then
  selection=(-m "not (gpu or browser or llm or slow)")
else
  require_opencl
  require_pocl
  require_driver
  require_chromium
fi

ruff check .
ruff format --check .
mypy
mypy scripts/*.py
pytest --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder ${selection[@]+"${selection[@]}"} "$@"

if [ "$extent" = all ]; then
  make_export_environment pytest pytest-timeout hypothesis jsonschema accelerate nbclient ipykernel
  pytest tests/exporters
fi
