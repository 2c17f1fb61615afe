#!/usr/bin/env bash
# Lint, type-check and test everything, on a machine with no more than Python and git.
#
#   scripts/test.sh            all tests but those of the heavy exporters
#   scripts/test.sh --all      those, too, in an environment of their own (PyTorch, 2 GB)
#   scripts/test.sh ARGS...    the same environment and checks, pytest with these arguments
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh

exporters=false
if [ "${1:-}" = --all ]; then
  exporters=true
  shift
fi

make_environment dev

# The GPU plugin compiles for a simulated device where Intel's OpenCL driver is installed.
if ! ldconfig -p | grep -q libOpenCL.so.1 || [ ! -e /etc/OpenCL/vendors/intel.icd ]; then
  if may_install; then
    install_packages intel-opencl-icd ocl-icd-libopencl1
  else
    echo "Tests on the GPU plugin need: apt-get install intel-opencl-icd ocl-icd-libopencl1" >&2
  fi
fi

# Reports are opened in a browser.
if [ ! -x /usr/bin/chromium ] || [ ! -x /usr/bin/chromedriver ]; then
  if may_install; then
    install_packages chromium chromium-driver
  else
    echo "Tests of reports need: apt-get install chromium chromium-driver" >&2
  fi
fi

ruff check .
ruff format --check .
mypy
mypy scripts/*.py
pytest "$@"

if $exporters; then
  make_export_environment pytest pytest-timeout
  pytest tests/exporters
fi
