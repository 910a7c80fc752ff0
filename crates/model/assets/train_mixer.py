#!/usr/bin/env python3
"""Train the MLP-Mixer that `mixfold` embeds: Fashion-MNIST, 28x28 grey, ten classes.

The model is timm's `MlpMixer`, so the state_dict names, the exact GELU and the LayerNorm epsilon
(1e-6) are timm's. `fashion.py` tells how it is trained, chosen and measured.

    python train_mixer.py /usr/share/datasets/fashion-mnist --output mixer_fashion.safetensors

Needs torch, timm, numpy and safetensors.
"""

import fashion
import timm
import torch
from timm.models.mlp_mixer import MlpMixer


class MixerRun(fashion.Run):
    name = "mixer_fashion"

    def build(self) -> MlpMixer:
        return MlpMixer(
            num_classes=len(fashion.CLASSES),
            img_size=fashion.IMAGE_SIZE,
            in_chans=1,
            patch_size=self.args.patch,
            num_blocks=self.args.blocks,
            embed_dim=self.args.channels,
        )

    def patch(self) -> int:
        return self.args.patch


def main() -> None:
    parser = fashion.arguments(__doc__.split("\n\n")[0], epochs=28)
    parser.add_argument("--channels", type=int, default=80)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--patch", type=int, default=4)
    fashion.main(MixerRun, parser, f"torch {torch.__version__}, timm {timm.__version__}")


if __name__ == "__main__":
    main()
