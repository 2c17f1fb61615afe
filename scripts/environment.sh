# Sourced by the scripts beside it: a virtual environment with ovpass in it.
#
#   make_environment EXTRA...    makes it in $OVPASS_VENV (.venv if not set) and puts it first on PATH

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

make_environment() {
  local extras=$1 venv=${OVPASS_VENV:-.venv} python
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
  pip install --quiet --disable-pip-version-check --editable ".[$extras]"
}
