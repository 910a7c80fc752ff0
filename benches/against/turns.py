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
from itertools import product
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


class Worker:
    """The process of an engine for one model and number of threads; stands still after each answer."""

    def __init__(self, engine: str, model: str, folder: Path, threads: int, programs: Programs) -> None:
        self.engine, self.threads = engine, threads
        self.version, self.error = "", 0.0
        self.log = folder / f"{engine}_{threads}.log"
        arguments = [engine, model, str(folder), str(threads), str(programs.mixfold)]
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "TORCHINDUCTOR_CACHE_DIR": str(programs.kernels),
        }
        with self.log.open("w") as log:
            # Of a group of its own in this session: should this process be killed, the system wakes those
            # that stand still and tells them to end.
            self.process = subprocess.Popen(
                [str(programs.python), str(ENGINES), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                process_group=0,
            )

    def get_ready(self, batch: int) -> None:
        """Lets the engine prepare for batches of this size, and compare its logits with PyTorch's."""
        answer = self._answer({"batch": batch})
        self.version, self.error = answer["version"], answer["error"]

    def turn(self, seconds: float) -> dict[str, float]:
        """Lets the engine run for so long."""
        return self._answer({"seconds": seconds})

    def close(self) -> None:
        """Ends the process."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def _answer(self, order: dict[str, float]) -> dict:
        """Lets the process go on until it has answered."""
        os.killpg(self.process.pid, signal.SIGCONT)
        try:
            print(json.dumps(order), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise EngineFailed(self._last_words()) from None
        line = self.process.stdout.readline()
        if not line:
            raise EngineFailed(self._last_words())
        os.killpg(self.process.pid, signal.SIGSTOP)
        return json.loads(line)

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join([f"{self.engine} has failed:", *lines[-15:]])


@contextmanager
def started(
    engines: list[str], model: str, folder: Path, threads: list[int], programs: Programs
) -> Iterator[list[Worker]]:
    """The engines of a model for several numbers of threads; ends them afterwards."""
    with ExitStack() as stack:
        workers = []
        for engine, count in product(engines, threads):
            workers.append(Worker(engine, model, folder, count, programs))
            stack.callback(workers[-1].close)
        yield workers


def get_ready(workers: list[Worker], batch: int, jobs: int) -> None:
    """Prepares all for batches of this size, so many at once."""
    # Compiling takes the longest and hence begins first.
    order = sorted(workers, key=lambda worker: worker.engine != "compiled")
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda worker: worker.get_ready(batch), order))


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
