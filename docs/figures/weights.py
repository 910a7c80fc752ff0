#!/usr/bin/env python3
"""Draws weights_*.png: the weights of the models that are part of the program, with the program."""
import subprocess
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
PICTURES = {
    "weights_mixer_units": ["--model", "mixer_fashion", "--layers", "all"],
    "weights_mixer_stem": ["--model", "mixer_fashion", "--what", "stem"],
    "weights_repmlpnet_fc3": ["--model", "repmlpnet_fashion", "--what", "fc3", "--layers", "0-1", "--pixel", "6,6"],
}

for name, options in PICTURES.items():
    command = ["cargo", "run", "--quiet", "-p", "mixfold", "--", "visualize", *options]
    subprocess.run([*command, "--out", FOLDER / f"{name}.png"], check=True, cwd=FOLDER)
