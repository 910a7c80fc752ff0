#!/usr/bin/env python3
"""Write the sample images: the first Fashion-MNIST test image of each class, and the first two others.

    python make.py /usr/share/datasets/fashion-mnist

Needs numpy and pillow.
"""

import gzip
import re
import sys
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = [
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
]  # fmt: skip
OTHERS = 2


def read_idx(path: Path) -> np.ndarray:
    """The unsigned bytes of a gzipped IDX file, in the shape its header declares."""
    raw = gzip.decompress(path.read_bytes())
    if raw[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path}: not an IDX file of unsigned bytes")
    rank = raw[3]
    shape = np.frombuffer(raw, ">u4", count=rank, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit("usage: make.py FOLDER")
    data, here = Path(sys.argv[1]), Path(__file__).parent
    images = read_idx(data / "t10k-images-idx3-ubyte.gz")
    labels = read_idx(data / "t10k-labels-idx1-ubyte.gz")

    _, firsts = np.unique(labels, return_index=True)
    others = np.setdiff1d(np.arange(len(labels)), firsts)[:OTHERS]
    for index in sorted([*firsts, *others]):
        name = re.sub(r"[^a-z]+", "-", CLASSES[labels[index]].lower())
        path = here / f"{index:04}-{name}.png"
        Image.fromarray(images[index]).save(path, optimize=True)
        print(path.name)


if __name__ == "__main__":
    main()
