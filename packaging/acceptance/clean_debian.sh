# SPDX-License-Identifier: Apache-2.0
# A clean Debian 12 in a folder, for in_chroot and in_machine. Takes root, debootstrap, and apt's own configuration,
# which says where this machine installs from.

# clean_debian PACKAGES ROOT: into the empty folder ROOT. What is made once a day is kept in PACKAGES.
clean_debian() {
  local packages=$1 root=$2 mirror base=$1/clean-bookworm.tar
  mkdir -p "$packages/downloads" "$packages/debs"
  # shellcheck disable=SC2016
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk '$2 == "bookworm" && $3 == "main" { print $1; exit }')
  [ -n "$mirror" ] || { echo "apt knows no source of Debian 12 (bookworm main)" >&2; exit 2; }
  # Nothing but debootstrap has ever touched the archive.
  if [ -z "$(find "$base" -mtime -1 2>/dev/null)" ]; then
    echo "== debootstrap (log: $packages/debootstrap.log)"
    debootstrap --variant=minbase --cache-dir="$packages/debs" bookworm "$root" "$mirror" >"$packages/debootstrap.log" 2>&1 ||
      { tail -n 20 "$packages/debootstrap.log" >&2; exit 2; }
    tar -C "$root" --one-file-system -cf "$base.new" . && mv "$base.new" "$base"
  else
    tar -C "$root" -xf "$base"
  fi
  # As the folder of a system is, not as mktemp makes one.
  chmod 755 "$root"
  # Debian's sources as they are here, with the proxies; nobody else's.
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk '$2 ~ /^bookworm/ && $3 == "main" { print "deb", $0 }' | sort -u >"$root/etc/apt/sources.list"
  apt-config dump | grep -E '^Acquire::(https?|ftp|Check|Retries|ForceIPv)' >"$root/etc/apt/apt.conf.d/99as-outside" || true
  echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/soon-removed"
  cp /etc/resolv.conf /etc/hosts "$root/etc/" 2>/dev/null || true
}

# clean_up ROOT: nothing is removed while a folder of this machine is in there.
clean_up() {
  cd /
  umount -lR "$1" || true
  if grep -qF " $1" /proc/self/mountinfo; then
    echo "$1 is left: something is mounted there" >&2
  else
    rm -rf --one-file-system "$1"
  fi
}

# copy_tests ROOT: what runs in there.
copy_tests() {
  local here
  here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
  mkdir -p "$1/forekey/packages" "$1/forekey/source/packaging" "$1/forekey/source/tests"
  cp -r "$here" "$1/forekey/source/packaging/"
  cp -r "$here/../../tests/packaging" "$1/forekey/source/tests/"
}
