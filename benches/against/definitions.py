"""The models that `models.py` compares, in PyTorch with random weights, and the files all engines get.

Run by `models.py`: `definitions.py MODEL BATCH,... FOLDER` writes

* `weights.safetensors`: the state_dict, which mixfold and PyTorch load;
* `batch_N.onnx` for each batch size: the same model for ONNX Runtime and OpenVINO;
* `images.npy` and `logits.npy`: as many images as the largest batch has, and PyTorch's logits;
* `model.json`: by how much an engine's logits may differ from these.

The definitions and their weights are those of the scripts in `crates/model/parity`, and so is the error that
is allowed, relative to the largest logit: a quarter of the distance between the logits with the exact and
the tanh GELU, the smallest mistake that an engine may make, but no more than `TIMM_TOLERANCE`. That is far
from what roundings do: PyTorch's own logits in `f32` are off from those in `f64` by 4e-7 to 2e-6, and
engines that fold batch norms into weights in `f32` by 2e-5.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PARITY = Path(__file__).resolve().parents[2] / "crates" / "model" / "parity"
sys.path.insert(0, str(PARITY))

import comparison
import ff_only
import ff_only_parity
import numpy as np
import repmlpnet
import repmlpnet_parity
import timm
import timm_parity
import torch
from safetensors.torch import load_file, save_file
from torch import nn

SEED = 0


@dataclass(frozen=True)
class Definition:
    """A model in PyTorch."""

    empty: Callable[[], nn.Module]
    """Its modules, with any weights or none."""
    random: Callable[[], nn.Module]
    """With random weights that all show in its logits."""
    image: int = 224


def definition(model: str) -> Definition:
    """Of a model as `mixfold compare` calls it: `NAME` or `NAME:FORM`."""
    name, _, form = model.partition(":")
    if name in repmlpnet.VARIANTS:
        return _repmlpnet(repmlpnet.VARIANTS[name], deploy=form != "train")
    if form:
        raise ValueError(f"{name} has one form only")
    if name in ff_only.VARIANTS:
        return Definition(
            lambda: ff_only.Classifier(ff_only.VARIANTS[name]),
            lambda: ff_only_parity.random_model(name, SEED),
        )
    if name in timm_parity.MODELS + timm_parity.OTHERS:
        return Definition(
            lambda: timm.create_model(name, num_classes=1000),
            lambda: timm_parity.random_model(name, SEED),
        )
    raise ValueError(f"there is no definition of {name} in {PARITY}")


def _repmlpnet(config: repmlpnet.Config, deploy: bool) -> Definition:
    def empty() -> nn.Module:
        return repmlpnet.RepMlpNet(config, deploy)

    def random() -> nn.Module:
        model = repmlpnet_parity.random_model(config, SEED)
        if not deploy:
            return model
        deployed = empty()
        deployed.load_state_dict(repmlpnet.folded(model))
        return deployed.eval()

    return Definition(empty, random, config.image)


def load(model: str, folder: Path) -> nn.Module:
    """The model with the weights of the folder, in memory of its own."""
    with torch.device("meta"):
        modules = definition(model).empty()
    modules.to_empty(device="cpu").load_state_dict(load_file(folder / "weights.safetensors"))
    return modules.eval().requires_grad_(False)


def write(model: str, batches: list[int], folder: Path) -> None:
    """Writes all files of a model."""
    chosen = definition(model)
    images = comparison.random_images(max(batches), chosen.image, SEED)
    modules = chosen.random()
    # Two images tell the GELUs apart.
    _, _, tolerance = comparison.exact_and_tanh(model, modules, images[:2], timm_parity.TIMM_TOLERANCE)
    save_file(modules.state_dict(), folder / "weights.safetensors")
    np.save(folder / "images.npy", images.numpy())
    np.save(folder / "logits.npy", comparison.torch_logits(modules, images))
    for batch in batches:
        export(modules, images[:batch], folder / f"batch_{batch}.onnx")
    (folder / "model.json").write_text(json.dumps({"tolerance": tolerance}))


def export(modules: nn.Module, images: torch.Tensor, path: Path) -> None:
    """Writes the model as ONNX for this many images, with the weights in a file beside it."""
    with torch.inference_mode():
        torch.onnx.export(
            modules,
            (images,),
            path,
            dynamo=True,
            external_data=True,
            input_names=["images"],
            output_names=["logits"],
            verbose=False,
        )


def main() -> int:
    model, batches, folder = sys.argv[1:]
    try:
        definition(model)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    write(model, [int(batch) for batch in batches.split(",")], Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
