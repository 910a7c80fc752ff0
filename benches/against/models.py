#!/usr/bin/env python3
"""Compare whole models in mixfold, PyTorch, ONNX Runtime and OpenVINO.

    python benches/against/models.py
    python benches/against/models.py --models mixer_b16_224 --threads 1 --batch 1
    python benches/against/models.py --json results.json --table results.md --plot results.svg

For each model, number of threads and batch size (a cell), shows images per second of each engine, how much
of the peak of multiply-adds mixfold reaches, and how many times as fast as the best of its peers it is.

All engines get the same random weights. Each is a process of its own that loads the model, is
limited to the threads, and stands still while it is not on turn. Before a model is timed, the logits are
compared with PyTorch's; if any differ by more than what `definitions.py` allows, the comparison ends. Then
the engines take turns: in each round every one runs for a while, in random order, a moment untimed first.
mixfold is the program itself, by `mixfold compare`, started for each turn.

Engines: pytorch; compiled (torch.compile, weights frozen); onnxruntime (all optimisations); openvino
(latency, f32); mixfold. The first run installs the versions of `environment.py` from PyPI into a virtual
environment; on Linux they bring 4 GB for GPUs that are not used, unless PIP_EXTRA_INDEX_URL is
https://download.pytorch.org/whl/cpu, where pip finds PyTorch without it.

Needs cargo, Python 3.11 or later on Linux or macOS, a C++ compiler (for torch.compile), and memory
for the largest model: about 15 GB for Mixer L/16, half of that with one number of threads. Exits with 1 if an
engine fails.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import environment
from report import TITLES, Measured, geometric_means, report
from turns import EngineFailed, Programs, Worker, get_ready, started, take

HERE = Path(__file__).parent
MODELS = [
    "mixer_s32_224",
    "mixer_b16_224",
    "mixer_l16_224",
    "linear_base",
    "resmlp_24_224",
    "deit_base_patch16_224",
    "repmlpnet_b224:train",
    "repmlpnet_b224",
]
LEAST_ROUNDS = 3
CELL_SECONDS = 7.0


@dataclass
class Clock:
    """Seconds spent getting ready, and in turns."""

    ready: float = 0.0
    turns: float = 0.0


def listed(parse: Callable[[str], object]) -> Callable[[str], list]:
    """A parser of values with commas between them."""

    def values(argument: str) -> list:
        return list(dict.fromkeys(parse(value) for value in argument.split(",")))

    return values


def number(argument: str) -> int:
    value = int(argument)
    if value < 1:
        raise ValueError
    return value


def engine(argument: str) -> str:
    if argument not in TITLES:
        raise argparse.ArgumentTypeError(f"{argument} is none of {', '.join(TITLES)}")
    return argument


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    many = {"metavar": "A,B,..."}
    parser.add_argument("--models", type=listed(str), default=MODELS, help=f"default: {','.join(MODELS)}", **many)
    parser.add_argument("--threads", type=listed(number), default=[1, 2], help="default: 1,2", **many)
    parser.add_argument("--batch", type=listed(number), default=[1, 8], help="default: 1,8", **many)
    parser.add_argument("--engines", type=listed(engine), default=list(TITLES), help="default: all", **many)
    rounds = f"default: as many as are begun in {CELL_SECONDS:.0f} s, at least {LEAST_ROUNDS}"
    parser.add_argument("--rounds", type=number, metavar="N", help=rounds)
    turn = "seconds of a turn, or one run if that takes longer (default: 0.3)"
    parser.add_argument("--turn", type=float, default=0.3, metavar="S", help=turn)
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="write all results")
    parser.add_argument("--table", type=Path, metavar="OUT.md", help="write what is printed")
    parser.add_argument("--plot", type=Path, metavar="OUT.svg", help="draw the speeds")
    parser.add_argument("--mixfold", type=Path, metavar="PATH", help="the program (default: built by cargo)")
    environments = environment.cache() / "venv"
    parser.add_argument("--venv", type=Path, default=environments, metavar="DIR", help=f"default: {environments}")
    args = parser.parse_args()
    if max(args.threads) > environment.processors():
        parser.error(f"there are only {environment.processors()} processors")
    return args


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def write_files(model: str, batches: list[int], folder: Path, python: Path) -> float:
    """Writes a model's files; the error that its logits may have."""
    sizes = ",".join(map(str, batches))
    command = [str(python), str(HERE / "definitions.py"), model, sizes, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise EngineFailed(f"{model}: no files\n{done.stderr}")
    return json.loads((folder / "model.json").read_text())["tolerance"]


def check(title: str, workers: list[Worker], tolerance: float) -> dict[str, float]:
    """The errors of all engines, if these are small enough."""
    errors = {worker.engine: worker.error for worker in workers}
    if all(error <= tolerance for error in errors.values()):
        return errors
    found = "\n".join(f"  {TITLES[engine]}: {error:.1e}" for engine, error in errors.items())
    more = f"logits differ from PyTorch's by more than {tolerance:.1e} of the largest"
    raise EngineFailed(f"{title}: {more}\n{found}")


def measure_model(
    args: argparse.Namespace, model: str, programs: Programs, clock: Clock, versions: dict[str, str]
) -> Iterator[Measured]:
    """The cells of a model, as they are measured."""
    start = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mixfold-against-")))
        tolerance = write_files(model, args.batch, folder, programs.python)
        workers = stack.enter_context(started(args.engines, model, folder, args.threads, programs))
        for batch in args.batch:
            get_ready(workers, batch, environment.processors())
            versions.update((worker.engine, worker.version) for worker in workers)
            cells = {threads: [w for w in workers if w.threads == threads] for threads in args.threads}
            title = f"{model}, batch {batch}"
            errors = {threads: check(title, cell, tolerance) for threads, cell in cells.items()}
            clock.ready += time.monotonic() - start
            for threads, cell in cells.items():
                start = time.monotonic()
                rounds = take(cell, args.turn, args.rounds, CELL_SECONDS, LEAST_ROUNDS)
                clock.turns += time.monotonic() - start
                yield Measured(model, threads, batch, tolerance, errors[threads], rounds)
            start = time.monotonic()


def progress(cell: Measured, clock: Clock) -> None:
    peer = cell.best_peer()
    ratio = cell.ratio(peer)
    text = "measured" if ratio is None else f"{ratio:.2f} times {TITLES[peer]}"
    note(f"{clock.ready + clock.turns:5.0f} s  {cell.title()}: {text}")


def finish(args: argparse.Namespace, cells: list[Measured], versions: dict[str, str], python: Path) -> None:
    """Prints and writes what has been measured."""
    names = list(dict.fromkeys(versions[engine] for engine in TITLES if engine in versions))
    machine = f"{environment.processor_name()}, {environment.processors()} processors"
    text = report(cells, machine, names)
    print(text, end="")
    if args.table:
        args.table.write_text(text)
    results = {
        "processor": environment.processor_name(),
        "processors": environment.processors(),
        "versions": versions,
        "turn_s": args.turn,
        "mixfold_times_geometric_mean": geometric_means(cells),
        "cells": [cell.json() for cell in cells],
    }
    content = json.dumps(results, indent=1) + "\n"
    if args.json:
        args.json.write_text(content)
    if args.plot:
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write(content)
            file.flush()
            subprocess.run([str(python), str(HERE / "plot.py"), file.name, str(args.plot)], check=True)


def main() -> int:
    args = arguments()
    try:
        python = environment.python_with_peers(args.venv, plot=args.plot is not None)
        mixfold = args.mixfold.resolve() if args.mixfold else environment.built_mixfold()
    except subprocess.CalledProcessError as error:
        note(f"{' '.join(map(str, error.cmd))}: exit code {error.returncode}")
        return 1
    programs = Programs(python, mixfold, environment.cache() / "kernels")
    cells: list[Measured] = []
    clock, versions, failed = Clock(), {}, False
    try:
        for model in args.models:
            for cell in measure_model(args, model, programs, clock, versions):
                cells.append(cell)
                progress(cell, clock)
    except (EngineFailed, KeyboardInterrupt) as error:
        # What has been measured before counts all the same.
        note(str(error) or "interrupted")
        failed = True
    if cells:
        finish(args, cells, versions, python)
        note(f"{clock.ready:.0f} s to get ready, {clock.turns:.0f} s in turns")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
