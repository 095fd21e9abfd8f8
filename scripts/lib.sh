# SPDX-License-Identifier: Apache-2.0
# Shared by the scripts beside it: say what is done, install what is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

started=$SECONDS
say() { printf '\n== [%3ds] %s\n' "$((SECONDS - started))" "$*"; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else
    echo "This needs root to install Debian packages: run it as root, or install sudo." >&2
    exit 2
  fi
}

# Build tools and libraries, then what the tests and the demo run beside them.
packages=(
  g++ cmake ninja-build ccache mold pkg-config git ca-certificates python3
  libgrpc++-dev libgrpc-dev protobuf-compiler-grpc protobuf-compiler libprotobuf-dev libabsl-dev
  libssl-dev libsqlite3-dev libpq-dev libtomlplusplus-dev libcli11-dev nlohmann-json3-dev libspdlog-dev
  libsodium-dev libcjose-dev libjansson-dev libcurl4-openssl-dev prometheus-cpp-dev libsystemd-dev libboost-dev libqrencode-dev systemd libtss2-dev libtss2-tcti-tabrmd0 libpcsclite-dev zlib1g-dev libgtest-dev libgmock-dev libbenchmark-dev
  swtpm swtpm-tools tpm2-tools tpm2-openssl openssl python3-cryptography dbus tpm2-abrmd libglib2.0-bin
  pcscd opensc yubico-piv-tool ykcs11 libfido2-dev
  fido2-tools libumockdev-dev
)
# What scripts/test runs besides: programs of others, to compare with.
test_packages=(spin clang-format-14 clang-tidy-14 python3-fido2 python3-grpcio python3-grpc-tools chromium glewlwyd umockdev
               udev postgresql-15 mandoc zsh fish nginx-light haproxy caddy python3-jwt pinentry-curses python3-pyte)
command -v npm >/dev/null || test_packages+=(nodejs npm)

# A machine is not to serve the web because it ran tests: a package that is installed now starts nothing.
leave_stopped() {
  local server
  for server in "$@"; do
    if [ -d /run/systemd/system ] && ! [ -e "/usr/sbin/$server" ] && ! [ -e "/usr/bin/$server" ]; then
      as_root systemctl mask --quiet "$server.service"
    fi
  done
}

install_missing() {
  local missing=() package
  for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
      missing+=("$package")
  done
  if [ ${#missing[@]} -eq 0 ]; then
    echo "every Debian package that is needed is installed"
    return
  fi
  echo "installing: ${missing[*]}"
  as_root apt-get update -qq
  # The tests start PostgreSQL servers of their own. Its package would make a cluster and start that, too.
  if [[ " ${missing[*]} " == *" postgresql-15 "* ]]; then
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      postgresql-common >/dev/null
    as_root sed -i 's/^#*\s*create_main_cluster.*/create_main_cluster = false/' \
      /etc/postgresql-common/createcluster.conf
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    "${missing[@]}" >/dev/null
}

# build PRESET [target...]
build() {
  local preset=$1
  shift
  cmake --preset "$preset" >"build/.$preset.log" 2>&1 || { cat "build/.$preset.log" >&2; return 1; }
  cmake --build --preset "$preset" ${1+--target "$@"}
}
mkdir -p build
