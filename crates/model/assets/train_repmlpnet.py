#!/usr/bin/env python3
"""Train the RepMLPNet that `mixfold` embeds: Fashion-MNIST, 28x28 grey, ten classes.

The model is that of `../parity/repmlpnet.py`, with two stages of 14x14 and 7x7 pixels. The file holds
the train form, under the official names; `fashion.py` tells how it is trained, chosen and measured.

    python train_repmlpnet.py /usr/share/datasets/fashion-mnist --output repmlpnet_fashion.safetensors

Needs torch, numpy and safetensors.
"""

import sys
from pathlib import Path

import fashion
import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "parity"))
from repmlpnet import Config, RepMlpNet, folded  # noqa: E402

FOLDING_TOLERANCE = 1e-5


class RepMlpNetRun(fashion.Run):
    name = "repmlpnet_fashion"

    def config(self) -> Config:
        return Config(
            image=fashion.IMAGE_SIZE,
            image_channels=1,
            patch=2,
            channels=tuple(self.args.channels),
            units=tuple(self.args.units),
            share_sets=tuple(self.args.share_sets),
            classes=len(fashion.CLASSES),
        )

    def build(self) -> RepMlpNet:
        return RepMlpNet(self.config())

    def patch(self) -> int:
        return self.config().patch

    def check(self, weights: dict[str, torch.Tensor]) -> None:
        """The deploy form of the stored weights gives the logits of their train form."""
        train, deploy = self.build(), RepMlpNet(self.config(), deploy=True)
        train.load_state_dict(weights, strict=True)
        deploy.load_state_dict(folded(train), strict=True)
        images, labels = self.validation
        expected, found = fashion.logits(train, images), fashion.logits(deploy, images)
        error = float((found - expected).abs().max() / expected.abs().max())
        variance = min(float(v.min()) for name, v in weights.items() if name.endswith("running_var"))
        print(
            f"folded: logits within {error:.1e} of the largest,"
            f" validation {fashion.correct(found, labels) / len(labels):.4f};"
            f" smallest running variance {variance:.2e}"
        )
        if not error <= FOLDING_TOLERANCE:
            raise SystemExit("the deploy form is another function")


def main() -> None:
    parser = fashion.arguments(__doc__.split("\n\n")[0], epochs=10)
    parser.add_argument("--channels", type=int, nargs=2, default=(32, 64))
    parser.add_argument("--units", type=int, nargs=2, default=(2, 2))
    parser.add_argument("--share-sets", type=int, nargs=2, default=(2, 16))
    fashion.main(RepMlpNetRun, parser, f"torch {torch.__version__}")


if __name__ == "__main__":
    main()
