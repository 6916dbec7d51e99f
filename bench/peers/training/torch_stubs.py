"""Makes empty stand-ins for the CUDA libraries that the torch wheel is linked to.

    torch_stubs.py FOLDER-OF-PACKAGES OUTPUT-FOLDER

On the Python index there is no torch for Linux without CUDA, whose libraries are several gigabytes
that a CPU has no use for. Without them `import torch` fails at the dynamic linker. So torch is
installed without its dependencies, and this script makes, for each CUDA library that torch's own
libraries want, one of the same name with the same symbols at the same versions. Every function
returns 100, which is CUDA's "no device": torch finds that there is none and uses the CPU.
OUTPUT-FOLDER then goes on LD_LIBRARY_PATH. Needs gcc and binutils.
"""

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

LIBRARY = re.compile(r"lib(cu|nccl|nvrtc|nvshmem|nvJitLink|nvToolsExt)")
# Symbols without a version do not say whose they are; these prefixes are CUDA's.
SYMBOL = re.compile(r"(cu[A-Z]|cuda|cublas|cudnn|cufft|cusolver|cusparse|cupti|nccl|nvrtc|nvshmem|nvJit)")
# Libraries whose symbols have no versions: each gets all such symbols.
UNVERSIONED = ("libcuda.so", "libcufile.so", "libnccl.so")


def output_of(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class Wanted:
    """What a set of libraries wants of others."""

    def __init__(self, files):
        self.libraries = set()
        self.library_of_version = {}
        self.symbols_of_version = defaultdict(set)
        unversioned, defined = set(), set()
        for file in files:
            self.read_dynamic_section(output_of("objdump", "-p", file))
            for line in output_of("nm", "-D", file).splitlines():
                *_, kind, symbol = line.split()
                name, _, version = symbol.partition("@")
                if kind not in ("U", "w"):
                    defined.add(name)
                elif version:
                    self.symbols_of_version[version.lstrip("@")].add(name)
                else:
                    unversioned.add(name)
        self.unversioned = sorted(filter(SYMBOL.match, unversioned - defined))

    def read_dynamic_section(self, text):
        library = None
        for line in text.splitlines():
            if found := re.match(r"\s+NEEDED\s+(\S+)", line):
                self.libraries.add(found[1])
            elif found := re.match(r"\s+required from (\S+):", line):
                library = found[1]
            elif library and (found := re.match(r"\s+0x\S+ 0x\S+ \d+ (\S+)", line)):
                self.library_of_version[found[1]] = library

    def versions(self, library):
        """The versions wanted of a library, each with its symbols."""
        versions = [v for v, owner in self.library_of_version.items() if owner == library]
        return {version: sorted(self.symbols_of_version[version]) for version in versions}


def make(library, versions, unversioned, folder):
    """Compiles one stand-in."""
    symbols = [name for names in versions.values() for name in names] + unversioned
    source, script = folder / f"{library}.c", folder / f"{library}.map"
    source.write_text("".join(f"int {name}(void) {{ return 100; }}\n" for name in symbols))
    blocks = (f"{v} {{ global: {'; '.join(names) or 'nothing'}; }};\n" for v, names in versions.items())
    script.write_text("".join(blocks))
    compile = ["gcc", "-shared", "-fPIC", "-w", "-fno-builtin", source, f"-Wl,-soname,{library}"]
    if versions:
        compile.append(f"-Wl,--version-script={script}")
    subprocess.run([*compile, "-o", folder / library], check=True)
    source.unlink()
    script.unlink()


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: torch_stubs.py FOLDER-OF-PACKAGES OUTPUT-FOLDER")
    packages, folder = map(Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    torch = packages / "torch"
    wanted = Wanted([*torch.glob("*.so"), *torch.glob("lib/*.so*")])
    for library in sorted(filter(LIBRARY.match, wanted.libraries)):
        unversioned = wanted.unversioned if library.startswith(UNVERSIONED) else []
        make(library, wanted.versions(library), unversioned, folder)


if __name__ == "__main__":
    main()
