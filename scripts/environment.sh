# Sourced by the scripts beside it: a virtual environment with ovpass in it.
#
#   make_environment EXTRAS             makes it in $OVPASS_VENV (.venv if not set) and puts it first on PATH
#   make_export_environment PACKAGES... one with all extras of users, in $OVPASS_EXPORT_VENV (.venv-export if not set)
#   require_driver                      installs the driver of the simulated GPUs, where that may be

python_command() {
  local candidate
  for candidate in python3 python3.13 python3.12 python3.11 python3.10; do
    if command -v "$candidate" >/dev/null &&
      "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))'; then
      echo "$candidate"
      return
    fi
  done
  echo "No Python from 3.10 to 3.13 found; install python3." >&2
  exit 2
}

may_install() { command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; }

install_packages() {
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

# Make a virtual environment in folder $1 where there is none, and put it first on PATH.
enter_environment() {
  local venv=$1 python
  python=$(python_command)
  if [ ! -x "$venv/bin/pip" ]; then
    # Debian ships Python without the part that puts pip into new environments.
    if ! "$python" -c 'import ensurepip' 2>/dev/null && may_install; then
      install_packages python3-venv
    fi
    "$python" -m venv "$venv"
  fi
  PATH="$(cd "$venv/bin" && pwd):$PATH"
  export PATH
}

install() { pip install --quiet --disable-pip-version-check "$@"; }

make_environment() {
  enter_environment "${OVPASS_VENV:-.venv}"
  install --editable ".[$1]"
}

make_export_environment() {
  enter_environment "${OVPASS_EXPORT_VENV:-.venv-export}"
  install --editable ".[all]" "$@"
  # optimum-intel asks for torchvision, whose ops do not register with CPU builds of PyTorch. ovpass hides it from its
  # exporters; tests import transformers themselves.
  pip uninstall --quiet --yes torchvision
}

# Newer devices take a driver in a folder of its own, for which nothing is installed.
require_driver() {
  local folder
  folder=$(python -c 'import os; from ovpass.verification.driver import VARIABLE, default_folder
print(os.environ.get(VARIABLE) or default_folder())')
  if [ "$folder" != system ] && [ ! -e "$folder/ovpass-driver.json" ]; then
    ovpass devices --install-driver "$folder" || echo "Simulating devices newer than an Arc A770 needs that driver" >&2
  fi
}
