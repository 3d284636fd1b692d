"""Which build of PyTorch `make` installs: prints options for pip.

On Linux, PyPI's PyTorch brings three gigabytes of CUDA, of no use without a GPU of NVIDIA. Where there is none, its small
build for CPUs is taken from PyTorch's own index, if that can be reached. TORCH=cpu or TORCH=cuda decides otherwise.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import urllib.request
from pathlib import Path

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
DRIVER = Path("/proc/driver/nvidia/version")
TIMEOUT_S = 8


def has_nvidia_gpu() -> bool:
    """Whether a driver for CUDA is loaded (Linux), or its tool sees a GPU (also within Windows)."""
    if DRIVER.exists():
        return True
    try:
        seen = subprocess.run(["nvidia-smi", "-L"], capture_output=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return seen.returncode == 0 and b"GPU" in seen.stdout


def reachable(index: str) -> bool:
    try:
        with urllib.request.urlopen(f"{index}/torch/", timeout=TIMEOUT_S):  # noqa: S310
            return True
    except OSError:
        return False


def options(wanted: str, index: str = CPU_INDEX) -> tuple[list[str], str]:
    """Options for pip, and why, for `wanted` auto, cpu or cuda. Errors: ValueError for anything else."""
    if wanted not in ("auto", "cpu", "cuda"):
        raise ValueError(f"TORCH={wanted}: choose auto, cpu or cuda")
    if platform.system() != "Linux" or platform.machine() not in ("x86_64", "AMD64"):
        return [], "PyTorch as PyPI has it for this system"
    if wanted == "cuda" or (wanted == "auto" and has_nvidia_gpu()):
        return [], "PyTorch with CUDA"
    if not reachable(index):
        return [], f"PyTorch as PyPI has it, which works as well but may be larger: {index} cannot be reached"
    return ["--extra-index-url", index], "PyTorch for CPUs: no GPU of NVIDIA found (TORCH=cuda installs it with CUDA)"


def main() -> None:
    try:
        chosen, why = options(os.environ.get("TORCH", "auto"))
    except ValueError as error:
        sys.exit(str(error))
    print(why, file=sys.stderr)
    print(*chosen)


if __name__ == "__main__":
    main()
