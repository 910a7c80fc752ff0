"""What `models.py` needs around it: the peers in a virtual environment, the program, the processor's name."""

import json
import os
import platform
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PEERS = [
    "torch==2.15.0",
    "torchvision==0.29.2",
    "timm==1.0.31",
    "numpy==2.4.6",
    "safetensors==0.8.0",
    "onnx==1.23.2",
    "onnxscript==0.7.2",
    "onnxruntime==1.32.0",
    "openvino==2026.4.1",
]
PLOT = ["matplotlib==3.11.2"]


def cache() -> Path:
    """The folder in the user's cache for what a later comparison can use again."""
    if sys.platform == "darwin":
        caches = Path.home() / "Library" / "Caches"
    else:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "mixfold" / "against"


def python_with_peers(folder: Path, plot: bool) -> Path:
    """The interpreter of the virtual environment, which is made or completed first."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    packages = PEERS + (PLOT if plot else [])
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    subprocess.run(pip, check=True, stdout=sys.stderr)
    return python


def built_mixfold() -> Path:
    """The program, built by cargo for release."""
    build = ["cargo", "build", "--release", "-p", "mixfold", "--message-format=json-render-diagnostics"]
    messages = subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    executables = (json.loads(line).get("executable") for line in messages.splitlines())
    return Path(next(path for path in executables if path))


def processors() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_name() -> str:
    """As the system calls it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        name = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(name, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    return platform.processor() or platform.machine()
