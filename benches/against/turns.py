"""Engines that take turns, each in a process that stands still while it is not on turn."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

ENGINES = Path(__file__).with_name("engines.py")

Round = dict[str, dict[str, float]]
"""What each engine answered to its turn, see `engines.py`."""


class EngineFailed(Exception):
    """An engine's process ended, with what it printed last."""


@dataclass(frozen=True)
class Programs:
    """What runs the engines."""

    python: Path
    mixfold: Path
    kernels: Path
    """Folder in which `torch.compile` finds kernels again."""


@dataclass(frozen=True)
class Cell:
    """A model with its files, a batch size and a number of threads."""

    model: str
    folder: Path
    batch: int
    threads: int


class Worker:
    """The process of an engine. Stands still when this has been made, and between the turns."""

    def __init__(self, engine: str, cell: Cell, programs: Programs) -> None:
        self.engine = engine
        self.log = cell.folder / f"{engine}_{cell.batch}_{cell.threads}.log"
        arguments = [engine, cell.model, cell.folder, cell.batch, cell.threads, programs.mixfold]
        threads = str(cell.threads)
        environment = os.environ | {
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "TORCHINDUCTOR_CACHE_DIR": str(programs.kernels),
        }
        with self.log.open("w") as log:
            # Of a group of its own in this session: should this process be killed, the system wakes those
            # that stand still and tells them to end.
            self.process = subprocess.Popen(
                [str(programs.python), str(ENGINES), *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                process_group=0,
            )
        try:
            ready = self._answer()
        except BaseException:
            self.close()
            raise
        self.version: str = ready["version"]
        self.error: float = ready["error"]

    def turn(self, seconds: float) -> dict[str, float]:
        """Lets the engine run for so long."""
        os.killpg(self.process.pid, signal.SIGCONT)
        try:
            print(seconds, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise EngineFailed(self._last_words()) from None
        return self._answer()

    def close(self) -> None:
        """Ends the process."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def _answer(self) -> dict:
        """Waits for the answer, then stops the process."""
        line = self.process.stdout.readline()
        if not line:
            raise EngineFailed(self._last_words())
        os.killpg(self.process.pid, signal.SIGSTOP)
        return json.loads(line)

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join([f"{self.engine} has failed:", *lines[-15:]])


@contextmanager
def ready(
    engines: list[str], cells: list[Cell], programs: Programs, jobs: int
) -> Iterator[dict[Cell, list[Worker]]]:
    """The engines of several cells, so many of which get ready at once; ends them afterwards."""
    with ExitStack() as stack:

        def start(engine: str, cell: Cell) -> Worker:
            worker = Worker(engine, cell, programs)
            stack.callback(worker.close)
            return worker

        with ThreadPoolExecutor(jobs) as pool:
            starting = {cell: [pool.submit(start, engine, cell) for engine in engines] for cell in cells}
        yield {cell: [future.result() for future in futures] for cell, futures in starting.items()}


def take(workers: list[Worker], seconds: float, rounds: int | None, budget: float, least: int) -> list[Round]:
    """Rounds in which each engine has a turn of so many seconds, in random order.

    As many rounds as asked for, or as are begun before `budget` seconds have passed, and `least` at least.
    """
    shuffle = random.Random(0).shuffle
    order, taken, end = list(workers), [], time.monotonic() + budget

    def goes_on() -> bool:
        if rounds is not None:
            return len(taken) < rounds
        return len(taken) < least or time.monotonic() < end

    while goes_on():
        shuffle(order)
        taken.append({worker.engine: worker.turn(seconds) for worker in order})
    return taken
