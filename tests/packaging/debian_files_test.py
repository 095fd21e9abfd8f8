#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `cmake --install` installs is what the Debian packages take, each file in one package.

  debian_files_test.py BUILD

Builds no package: reads packaging/debian/*.install as dh_install does. Also: every program that is in a package
has its manual page and completions there; libforekey.so exports what the symbols file says, as dpkg-gensymbols
compares it; what scripts install to build with is what the packages' Build-Depends are; and libforekey-dev depends on
what find_package(forekey) looks for.
"""
import fnmatch
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEBIAN = ROOT / "packaging/debian"
# What a build for /usr on Debian does otherwise: its libraries are in a folder of their architecture, and
# debian/rules names zsh's folder and moves the system units.
PLACES = [
    (re.compile(r"^usr/lib/(cmake/|pkgconfig/|libforekey|forekey/.*\.a$)"), r"usr/lib/ARCH/\1"),
    (re.compile(r"^usr/share/zsh/site-functions/"), "usr/share/zsh/vendor-completions/"),
    (re.compile(r"^usr/lib/systemd/system/"), "lib/systemd/system/"),
]
# What debian/rules takes from the tree, for debhelper to install with what belongs to it (dh_installsysusers,
# dh_installtmpfiles, dh_installudev); and the pages that forekey-doc takes from there.
BY_RULES = ["usr/lib/sysusers.d/*", "usr/lib/tmpfiles.d/*", "usr/lib/udev/rules.d/*", "usr/share/doc/forekey/*"]


def installed(build):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["cmake", "--install", build, "--prefix", "/usr"], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "DESTDIR": folder})
        names = []
        for path in sorted(pathlib.Path(folder).rglob("*")):
            if path.is_dir() and not path.is_symlink():
                continue
            name = path.relative_to(folder).as_posix()
            for pattern, place in PLACES:
                name = pattern.sub(place, name)
            names.append(name)
        return names


def patterns():
    """Of each package: what its .install file takes from the install."""
    taken = {}
    for file in sorted(DEBIAN.glob("*.install")):
        lines = [line.split() for line in file.read_text().splitlines() if line.strip()]
        taken[file.stem] = [words[0] for words in lines if words[0].startswith(("usr/", "lib/"))]
        for words in lines:
            if not words[0].startswith(("usr/", "lib/")) and not (ROOT / words[0]).exists():
                sys.exit(f"{file.name} takes {words[0]}, which is not in the tree")
    return taken


def matches(name, pattern):
    return fnmatch.fnmatchcase(name, pattern) or name.startswith(pattern.rstrip("/") + "/") \
        or fnmatch.fnmatchcase(name, pattern.rstrip("/") + "/*")


def exported(library):
    """Of each dynamic symbol that is defined: its name with its version."""
    lines = subprocess.run(["nm", "--dynamic", "--defined-only", "--with-symbol-versions", library], check=True,
                           capture_output=True, text=True).stdout.splitlines()
    return {line.split()[-1].replace("@@", "@") for line in lines}


def symbol_faults(build):
    library = pathlib.Path(build) / "lib/libforekey.so"
    if not library.exists():
        return [f"{library} was not built"]
    # The version's own symbol is in the file, and with some linkers among what nm prints.
    entries = re.findall(r"^ (\S+)@(\S+) ", next(DEBIAN.glob("*.symbols")).read_text(), re.M)
    versions = {version for _, version in entries}
    expected = {f"{name}@{version}" for name, version in entries if name != version}
    found = {name for name in exported(library) if name.split("@")[0] not in versions}
    return [f"libforekey.so exports {name}, which is not in its .symbols" for name in sorted(found - expected)] + \
        [f"libforekey.so exports no {name}, which is in its .symbols" for name in sorted(expected - found)]


# What scripts/lib.sh installs for tests, and nothing of the product needs to be built.
FOR_TESTS = {"libgtest-dev", "libgmock-dev", "libbenchmark-dev", "libumockdev-dev"}


def words_of_list(script):
    text = re.sub(r"#.*", "", (ROOT / script).read_text())
    return set(re.search(r"^packages=\(([^)]*)\)", text, re.M)[1].split())


# Which packages bring what cmake/forekeyConfig.cmake.in looks for, with what their own .pc files require.
BROUGHT_BY = {
    "Threads": [], "OpenSSL": ["libssl-dev"], "absl": ["libabsl-dev"], "gRPC": ["libgrpc-dev", "libgrpc++-dev"],
    "Protobuf": ["libprotobuf-dev", "protobuf-compiler-grpc"], "nlohmann_json": ["nlohmann-json3-dev"],
    "SQLite3": ["libsqlite3-dev"], "PostgreSQL": ["libpq-dev"], "CURL": ["libcurl4-openssl-dev"],
    "prometheus-cpp": ["prometheus-cpp-dev"], "PkgConfig": ["pkg-config"], "libsodium": ["libsodium-dev"],
    "cjose": ["libcjose-dev", "libjansson-dev", "libssl-dev"],
}


def development_faults(control):
    text = (ROOT / "cmake/forekeyConfig.cmake.in").read_text()
    wanted = re.findall(r"find_dependency\(([\w-]+)", text) + re.findall(r"IMPORTED_TARGET (\w+)", text)
    depends = re.search(r"^Package: libforekey-dev\n.*?^Depends:\n((?: [^\n]*\n)+)", control, re.M | re.S)[1]
    depends = {line.strip(" ,").split()[0] for line in depends.splitlines()}
    return [f"find_package(forekey) looks for {name}: say here which package brings it"
            for name in wanted if name not in BROUGHT_BY] + \
        [f"libforekey-dev does not depend on {package}, which find_package(forekey) needs for {name}"
         for name in wanted for package in BROUGHT_BY.get(name, []) if package not in depends]


def dependency_faults(control):
    depends = {re.match(r"[a-z0-9.+-]+", line.strip())[0]
               for line in re.search(r"^Build-Depends:\n((?: .*\n)+)", control, re.M)[1].splitlines()}
    depends = {"debhelper" if name == "debhelper-compat" else name for name in depends if not name.startswith("dh-sequence-")}
    libraries = {name for name in depends if name.endswith("-dev")}
    of_tests = {name for name in words_of_list("scripts/lib.sh") - FOR_TESTS if name.endswith("-dev")}
    return [f"Build-Depends has {name}, which scripts/package does not install"
            for name in sorted(depends - words_of_list("scripts/package"))] + \
        [f"{name} is in one alone of Build-Depends and scripts/lib.sh" for name in sorted(libraries ^ of_tests)]


def main():
    names, taken, faults = installed(sys.argv[1]), patterns(), []
    of_package = {}
    for name in names:
        # The link of a shared library's name, and what it leads to, match patterns of two packages only if one
        # of these is too wide.
        owners = [package for package, those in taken.items() if any(matches(name, one) for one in those)]
        owners += ["rules"] if any(fnmatch.fnmatchcase(name, one) for one in BY_RULES) else []
        if len(owners) != 1:
            faults.append(f"{name} is in {' and '.join(owners) or 'no package'}")
        for owner in owners:
            of_package.setdefault(owner, []).append(name)
    for package, those in taken.items():
        for pattern in those:
            if not any(matches(name, pattern) for name in names):
                faults.append(f"{package}.install takes {pattern}, and nothing installs that")
    for package, files in of_package.items():
        for name in files:
            program = pathlib.PurePath(name).name
            if not name.startswith("usr/bin/"):
                continue
            pages = [f"usr/share/man/man1/{program}.1"]
            if program != "forekey-conformance":  # in Python: it has no --page
                pages += [f"usr/share/bash-completion/completions/{program}",
                          f"usr/share/zsh/vendor-completions/_{program}",
                          f"usr/share/fish/vendor_completions.d/{program}.fish"]
            faults += [f"{package} has {program} without {page}" for page in pages if page not in files]
    control = (DEBIAN / "control").read_text()
    soname = ".".join(re.search(r'kForekeyVersion\[\] = "(\d+)\.(\d+)', (ROOT / "src/base/version.h").read_text()).groups())
    if f"Package: libforekey{soname}\n" not in control:
        faults.append(f"packaging/debian/control has no package libforekey{soname}: the version has changed")
    faults += symbol_faults(sys.argv[1]) + dependency_faults(control) + development_faults(control)
    for package in taken:
        if f"Package: {package}\n" not in control:
            faults.append(f"{package}.install is of no package")
    for fault in faults:
        print(fault)
    print(f"looked at {len(names)} files: {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
