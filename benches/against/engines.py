"""One engine with one model, in a process of its own that obeys `models.py`.

    engines.py ENGINE MODEL FOLDER THREADS MIXFOLD

Reads orders, each a line of JSON, and answers with such a line:

* `{"batch": ...}`: gets the model ready for batches of this size from the files of `definitions.py`, and
  runs it once on their images. The answer is `{"version": ..., "error": ...}`, where the error is
  max |logits - PyTorch's| / max |PyTorch's|.
* `{"seconds": ...}`: runs the model once without timing it, then for so long with. The answer is
  `{"best": ..., "median": ..., "runs": ...}`, with the seconds of a run.

Ends with its input.
"""

import json
import math
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

WARM_UP = 0.05
"""Seconds of untimed runs in front of the timed ones; at least one run."""

LONG = 1.0
"""Seconds of a run that needs none in front: to fill the caches again takes milliseconds."""


@dataclass(frozen=True)
class Job:
    """What to run, and on how many threads."""

    model: str
    folder: Path
    batch: int
    threads: int
    mixfold: Path

    def images(self) -> np.ndarray:
        return np.load(self.folder / "images.npy")[: self.batch]

    def onnx(self) -> Path:
        return self.folder / f"batch_{self.batch}.onnx"


class Peer:
    """An engine that is a library of Python. Each process imports its own alone."""

    version: str

    def logits(self) -> np.ndarray:
        """Those of the images, by one run."""
        raise NotImplementedError

    def _seconds(self) -> float:
        start = time.perf_counter()
        self.logits()
        return time.perf_counter() - start

    def turn(self, seconds: float) -> dict[str, float]:
        """Runs the model for so long, and once at least."""
        warm = first = self._seconds()
        while warm < WARM_UP:
            warm += self._seconds()
        runs = [first if first > LONG else self._seconds()]
        while sum(runs) < seconds:
            runs.append(self._seconds())
        return {"best": min(runs), "median": statistics.median(runs), "runs": len(runs)}


class PyTorch(Peer):
    """As it is used without further ado."""

    def __init__(self, job: Job) -> None:
        import definitions
        import torch

        torch.set_num_threads(job.threads)
        if torch.get_num_interop_threads() != 1:
            torch.set_num_interop_threads(1)
        self.version = f"PyTorch {torch.__version__}"
        self.torch = torch
        self.model = definitions.load(job.model, job.folder)
        self.images = torch.from_numpy(job.images())

    def logits(self) -> np.ndarray:
        with self.torch.inference_mode():
            return self.model(self.images).numpy()


class Compiled(PyTorch):
    """`torch.compile` for this batch size, with the weights as constants."""

    def __init__(self, job: Job) -> None:
        # Compiling in this process leaves none behind that could take part in the turns of others.
        os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
        super().__init__(job)
        import torch._inductor.config as inductor

        inductor.freezing = True
        # What has been compiled for another batch size goes.
        self.torch._dynamo.reset()
        self.model = self.torch.compile(self.model, dynamic=False)


class OnnxRuntime(Peer):
    """With all its optimisations of the graph."""

    def __init__(self, job: Job) -> None:
        import onnxruntime

        self.version = f"ONNX Runtime {onnxruntime.__version__}"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.intra_op_num_threads = job.threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(job.onnx(), options, providers=["CPUExecutionProvider"])
        self.images = {"images": job.images()}

    def logits(self) -> np.ndarray:
        return self.session.run(None, self.images)[0]


class OpenVino(Peer):
    """For the least latency, in `f32`."""

    def __init__(self, job: Job) -> None:
        import openvino

        self.version = f"OpenVINO {openvino.__version__.partition('-')[0]}"
        core = openvino.Core()
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": job.threads,
            "NUM_STREAMS": 1,
        }
        self.request = core.compile_model(core.read_model(job.onnx()), "CPU", options).create_infer_request()
        self.images = job.images()
        self.request.set_input_tensor(openvino.Tensor(self.images, shared_memory=True))

    def logits(self) -> np.ndarray:
        self.request.infer()
        return self.request.get_output_tensor().data


class Mixfold:
    """The program, started for each turn: it loads the model, runs it twice, then as often as is timed."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.version = self._call("--version").strip()
        self.weights = job.folder / "weights.safetensors"
        self.seconds = self._compare(1)["median"]

    def _call(self, *arguments: str | Path) -> str:
        command = [str(self.job.mixfold), *map(str, arguments)]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def logits(self) -> np.ndarray:
        job = self.job
        images, output = (job.folder / f"mixfold_{job.batch}_{job.threads}_{end}.npy" for end in "xy")
        np.save(images, job.images())
        name, _, form = job.model.partition(":")
        options = ["--form", form] if form else []
        size = ["--batch", str(job.batch), "--threads", str(job.threads)]
        files = ["--weights", self.weights, "--input", images, "--output", output]
        self._call("run", "--model", name, *options, *files, *size)
        return np.load(output)

    def turn(self, seconds: float) -> dict[str, float]:
        """As many runs as take so long, going by the last turn."""
        measured = self._compare(max(1, math.ceil(seconds / self.seconds)))
        self.seconds = measured["median"]
        return measured

    def _compare(self, runs: int) -> dict[str, float]:
        job = self.job
        size = ["--batch", str(job.batch), "--threads", str(job.threads), "--runs", str(runs)]
        weights = f"{job.model.partition(':')[0]}={self.weights}"
        found = json.loads(self._call("compare", "--models", job.model, "--weights", weights, *size, "--json"))
        speed = found["models"][0]["batches"][0]
        return {
            "best": job.batch / speed["images_per_s"],
            "median": job.batch / speed["images_per_s_median"],
            "runs": runs,
            "peak_fraction": speed["peak_fraction"],
        }


ENGINES = {
    "pytorch": PyTorch,
    "compiled": Compiled,
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
    "mixfold": Mixfold,
}


def error_of(logits: np.ndarray, expected: np.ndarray) -> float:
    """max |logits - expected| / max |expected|; infinite if there is anything that is not a number."""
    if logits.shape != expected.shape or not np.isfinite(logits).all():
        return math.inf
    return float(np.abs(logits - expected).max() / np.abs(expected).max())


def main() -> int:
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    name, model, folder, threads, mixfold = sys.argv[1:]
    folder, engine = Path(folder), None
    for line in sys.stdin:
        order = json.loads(line)
        if "batch" in order:
            # The memory of the one before is free before the next asks for some.
            engine = None
            job = Job(model, folder, order["batch"], int(threads), Path(mixfold))
            engine = ENGINES[name](job)
            expected = np.load(folder / "logits.npy")[: job.batch]
            answer = {"version": engine.version, "error": error_of(engine.logits(), expected)}
        else:
            answer = engine.turn(order["seconds"])
        print(json.dumps(answer), file=answers, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
