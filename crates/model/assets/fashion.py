"""What the training scripts of the embedded models share: Fashion-MNIST, the recipe, the file.

A script derives a class from `Run` that builds its model, and calls `main` with it.

The weights are an exponential moving average over the training steps, rounded to binary16; every
accuracy printed or stored is that of the rounded weights, computed in binary32. The running statistics
of a batch norm are those that training images have with the averaged weights.

The 60,000 training images are split once, by the seed, into 55,000 to learn from and 5,000 to
choose by. The test images are read only when `--output` asks for a file, after the choice is made.
"""

import argparse
import copy
import gzip
import json
import math
import platform
import time
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

CLASSES = [
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
]  # fmt: skip
IMAGE_SIZE = 28
VALIDATION_IMAGES = 5_000
SIZE_LIMIT = 1 << 20

BATCH = 128
PEAK_LEARNING_RATE = 3e-3
WARMUP_EPOCHS = 1.0
WEIGHT_DECAY = 0.05
GRADIENT_NORM = 1.0
LABEL_SMOOTHING = 0.05
MAX_SHIFT = 1
EMA_DECAY = 0.999
STATISTICS_BATCHES = 100


def read_idx(path: Path) -> torch.Tensor:
    """The unsigned bytes of a gzipped IDX file, in the shape its header declares."""
    raw = gzip.decompress(path.read_bytes())
    if raw[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path}: not an IDX file of unsigned bytes")
    rank = raw[3]
    shape = np.frombuffer(raw, ">u4", count=rank, offset=4).tolist()
    values = np.frombuffer(raw, np.uint8, offset=4 + 4 * rank)
    return torch.from_numpy(values.reshape(shape).copy())


def read_split(folder: Path, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (N, 1, 28, 28) in [0, 1] and labels (N) of `train` or `t10k`."""
    images = read_idx(folder / f"{split}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{split}-labels-idx1-ubyte.gz")
    if images.shape != (len(labels), IMAGE_SIZE, IMAGE_SIZE):
        raise ValueError(f"{split}: images {tuple(images.shape)}, labels {tuple(labels.shape)}")
    return images[:, None].float() / 255, labels.long()


def augment(images: torch.Tensor) -> torch.Tensor:
    """Each image mirrored with probability 1/2 and shifted by up to MAX_SHIFT pixels; the gap is 0."""
    n, _, height, width = images.shape
    mirrored = torch.rand(n, 1, 1, 1) < 0.5
    padded = F.pad(torch.where(mirrored, images.flip(-1), images), [MAX_SHIFT] * 4)
    top, left = torch.randint(2 * MAX_SHIFT + 1, (2, n, 1))
    rows, cols = top + torch.arange(height), left + torch.arange(width)
    return padded[torch.arange(n)[:, None, None], 0, rows[:, :, None], cols[:, None, :]][:, None]


def learning_rate(step: int, steps_per_epoch: int, epochs: int) -> float:
    """Linear warm-up, then a half cosine down to zero; a factor of the peak."""
    warmup = WARMUP_EPOCHS * steps_per_epoch
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (epochs * steps_per_epoch - warmup)))


def parameter_groups(model: torch.nn.Module) -> list[dict]:
    """Weight decay for the matrices; none for biases and norms."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    return [
        {"params": matrices, "weight_decay": WEIGHT_DECAY},
        {"params": vectors, "weight_decay": 0.0},
    ]


def in_binary16(average: torch.nn.Module, trained: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The averaged state_dict in binary16, with the counters (which have no average) of the trained one."""
    counters = trained.state_dict()
    return {
        name: value.half().contiguous() if value.is_floating_point() else counters[name].clone()
        for name, value in average.state_dict().items()
    }


@torch.no_grad()
def logits(model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Logits (N, 10) of normalised images, in evaluation mode."""
    model.eval()
    return torch.cat([model(part) for part in images.split(500)])


def correct(outputs: torch.Tensor, labels: torch.Tensor) -> int:
    """How many rows have their largest logit at the label."""
    return int((outputs.argmax(1) == labels).sum())


class Run(ABC):
    """One training run: the data, the model and its moving average."""

    name: str
    """The model's name, in the metadata of the file."""

    @abstractmethod
    def build(self) -> torch.nn.Module:
        """The model with initial weights."""

    @abstractmethod
    def patch(self) -> int:
        """Side of the model's patches in pixels."""

    def check(self, weights: dict[str, torch.Tensor]) -> None:
        """Stops the program if the chosen weights are not as the model needs them."""

    def __init__(self, args: argparse.Namespace):
        torch.manual_seed(args.seed)
        images, labels = read_split(args.data, "train")
        order = torch.randperm(len(images))
        held_out, learnt = order[:VALIDATION_IMAGES], order[VALIDATION_IMAGES:]
        self.images, self.labels = images[learnt], labels[learnt]
        self.mean = round(self.images.mean().item(), 4)
        self.std = round(self.images.std().item(), 4)
        self.validation = self.normalise(images[held_out]), labels[held_out]

        self.args = args
        self.model = self.build()
        averaging = get_ema_multi_avg_fn(EMA_DECAY)
        self.average = AveragedModel(self.model, multi_avg_fn=averaging, use_buffers=True)

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        return (images - self.mean) / self.std

    def batches(self):
        """Augmented, normalised images and labels of one epoch, in a new order each time."""
        for index in torch.randperm(len(self.images)).split(BATCH):
            yield self.normalise(augment(self.images[index])), self.labels[index]

    def train(self) -> tuple[dict[str, torch.Tensor], int]:
        """Weights of the epoch with the most validation images right, and that number."""
        epochs, steps = self.args.epochs, math.ceil(len(self.images) / BATCH)
        optimizer = torch.optim.AdamW(parameter_groups(self.model), lr=PEAK_LEARNING_RATE)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate(step, steps, epochs)
        )
        criterion = torch.nn.CrossEntropyLoss(label_smoothing=LABEL_SMOOTHING)
        candidate = copy.deepcopy(self.model)
        best, best_right = {}, -1

        for epoch in range(1, epochs + 1):
            started, total = time.perf_counter(), 0.0
            self.model.train()
            for images, labels in self.batches():
                loss = criterion(self.model(images), labels)
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), GRADIENT_NORM)
                optimizer.step()
                schedule.step()
                self.average.update_parameters(self.model)
                total += loss.item()

            self.measure_statistics()
            weights = in_binary16(self.average.module, self.model)
            candidate.load_state_dict(weights)
            right = correct(logits(candidate, self.validation[0]), self.validation[1])
            if right > best_right:
                best, best_right = weights, right
            print(
                f"epoch {epoch:3}/{epochs}  loss {total / steps:.4f}"
                f"  validation {right / VALIDATION_IMAGES:.4f}  {time.perf_counter() - started:.1f} s",
                flush=True,
            )
        return best, best_right

    def measure_statistics(self) -> None:
        """Running statistics of the averaged weights: those that were averaged with them lag behind."""
        images = self.images[: STATISTICS_BATCHES * BATCH].split(BATCH)
        update_bn((self.normalise(batch) for batch in images), self.average)

    def test(self, weights: dict[str, torch.Tensor]) -> float:
        """Accuracy of `weights` on the 10,000 test images."""
        model = self.build()
        model.load_state_dict(weights, strict=True)
        images, labels = read_split(self.args.data, "t10k")
        return correct(logits(model, self.normalise(images)), labels) / len(labels)

    def metadata(self, validation_accuracy: float, accuracy: float) -> dict[str, str]:
        learnt, all_images = len(self.images), len(self.images) + VALIDATION_IMAGES
        return {
            "model": self.name,
            "classes": json.dumps(CLASSES),
            "image_size": str(IMAGE_SIZE),
            "patch_size": str(self.patch()),
            "mean": json.dumps([self.mean]),
            "std": json.dumps([self.std]),
            "trained_on": f"Fashion-MNIST, {learnt:,} of the {all_images:,} training images",
            "accuracy": f"{accuracy:.4f}",
            "accuracy_on": "Fashion-MNIST, the 10,000 test images",
            "validation_accuracy": f"{validation_accuracy:.4f}",
            "data_licence": "MIT, Copyright (c) 2017 Zalando SE, https://tech.zalando.com",
        }


def serialise(weights: dict[str, torch.Tensor], metadata: dict[str, str]) -> bytes:
    """A safetensors file whose bytes depend on its contents alone: the library orders metadata by chance."""
    raw = save(weights, metadata)
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + raw[8 + length :]


def check_file(path: Path, run: Run, weights: dict[str, torch.Tensor]) -> None:
    """Read the file back: same tensors, same logits bit for bit, no larger than allowed."""
    if (size := path.stat().st_size) > SIZE_LIMIT:
        raise SystemExit(f"{path}: {size} bytes, more than {SIZE_LIMIT}")
    written, read = run.build(), run.build()
    written.load_state_dict(weights, strict=True)
    read.load_state_dict(load_file(path), strict=True)
    images = run.validation[0][:500]
    if not torch.equal(logits(written, images), logits(read, images)):
        raise SystemExit(f"{path}: the logits changed on the way through the file")
    with safe_open(path, "pt") as file:
        print(f"{path}: {size} bytes")
        for key, value in sorted(file.metadata().items()):
            print(f"  {key}: {value}")


def arguments(description: str, epochs: int) -> argparse.ArgumentParser:
    """The options of every training script."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("data", type=Path, help="folder with the four Fashion-MNIST .gz files")
    parser.add_argument("--output", type=Path, help="file to write; without it nothing is tested or written")
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="the result depends on it in the last bits")
    return parser


def main(kind: type[Run], parser: argparse.ArgumentParser, versions: str) -> None:
    """Trains a model as the command line says, and writes the file."""
    args = parser.parse_args()
    if args.epochs <= WARMUP_EPOCHS:
        parser.error(f"--epochs {args.epochs}: the warm-up alone takes {WARMUP_EPOCHS}")

    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True)
    run = kind(args)
    parameters = sum(p.numel() for p in run.model.parameters())
    print(f"python {platform.python_version()}, {versions}")
    print(", ".join(f"{key} {value}" for key, value in vars(args).items()))
    print(f"{parameters} parameters, mean {run.mean}, std {run.std}, {len(run.images)} images", flush=True)

    weights, right = run.train()
    validation_accuracy = right / VALIDATION_IMAGES
    print(f"best validation accuracy {validation_accuracy:.4f}")
    run.check(weights)
    if args.output:
        accuracy = run.test(weights)
        print(f"test accuracy {accuracy:.4f}")
        args.output.write_bytes(serialise(weights, run.metadata(validation_accuracy, accuracy)))
        check_file(args.output, run, weights)
