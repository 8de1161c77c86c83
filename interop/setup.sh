#!/usr/bin/env bash
# Installs the pinned peers into this folder. Usage: setup.sh [node] [node-v1] [node-mpp] [python-v2] [python-v1] [python-mock]
# Without arguments: all six. A part whose lock file has not changed is skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

die() { echo "setup: $*" >&2; exit 1; }
need() { command -v "$1" >/dev/null || die "$1 is missing: $2"; }
hash_of() { { cat "$@"; } | { sha256sum 2>/dev/null || shasum -a 256; } | cut -d' ' -f1; }
fresh() { [[ -f $1 && $(<"$1") == "$2" ]]; }

node_part() { # folder
  need node "install Node.js 20 or newer"
  need npm "install npm"
  (($(node -p 'process.versions.node.split(".")[0]') >= 20)) || die "Node.js 20 or newer is needed, found $(node --version)"
  local stamp="$1/node_modules/.setup-stamp" want
  want="$(hash_of "$1/package.json" "$1/package-lock.json")"
  if fresh "$stamp" "$want"; then echo "setup: $1 is up to date"; return; fi
  echo "setup: installing $1"
  (cd "$1" && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error) ||
    die "npm ci failed in interop/$1 (is the npm registry reachable?)"
  echo "$want" >"$stamp"
}

make_venv() { # folder
  rm -rf "$1"
  python3 -m venv "$1" 2>/dev/null && return
  rm -rf "$1"
  echo "setup: python3 -m venv does not work here, trying apt-get install python3-venv"
  command -v apt-get >/dev/null || die "python3 -m venv failed; install your system's venv package"
  local sudo=()
  if (($(id -u) != 0)); then
    need sudo "run 'apt-get install python3-venv' as root"
    sudo=(sudo)
  fi
  "${sudo[@]}" apt-get update -qq || true
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null ||
    die "apt-get install python3-venv failed"
  python3 -m venv "$1" || die "python3 -m venv failed although python3-venv is installed"
}

python_part() { # v1|v2|mock
  need python3 "install Python 3.10 or newer"
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || die "Python 3.10 or newer is needed"
  local folder=".venv-$1" lock="python/requirements-$1.txt" want
  want="$(hash_of "$lock") $(python3 -c 'import platform; print(platform.python_version())')"
  if fresh "$folder/.setup-stamp" "$want"; then echo "setup: python-$1 is up to date"; return; fi
  echo "setup: installing python-$1"
  make_venv "$folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$lock" ||
    die "pip install failed for interop/$lock (is PyPI reachable?)"
  "$folder/bin/python" -m pip check --disable-pip-version-check >/dev/null ||
    die "interop/$lock is not consistent: run $folder/bin/pip check"
  echo "$want" >"$folder/.setup-stamp"
}

(($#)) || set -- node node-v1 node-mpp python-v2 python-v1 python-mock
for part in "$@"; do
  case "$part" in
    node | node-v1 | node-mpp) node_part "$part" ;;
    python-v1 | python-v2 | python-mock) python_part "${part#python-}" ;;
    *) die "unknown part '$part' (node, node-v1, node-mpp, python-v2, python-v1, python-mock)" ;;
  esac
done
