"""Compare whole networks with the answers that tools/make_timm_fixture.py recorded; prints the largest differences.

Run the first command where torch and timm are, the second where Lungwise is:

    python tools/make_timm_fixture.py /tmp/full --full coatnet_0_224 coatnet_0_rw_224 --lite0 PTH
    python tools/check_timm.py /tmp/full
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from lungwise.models.coatnet import FAMILY, CoAtNet
from lungwise.models.efficientnet import EfficientNetLite0
from lungwise.models.pretrained import load_file, load_pretrained
from lungwise.models.torch_names import TIMM_BACKBONES

# Layouts that timm names after the paper, though it pools by the average; they have no trained weights.
UNTRAINED = {f"coatnet_{number}": replace(FAMILY[f"coatnet{number}"], pool="avg") for number in range(3)}


def features(name: str, folder: Path, image: np.ndarray) -> np.ndarray:
    """Our feature map for timm's network."""
    shape = image.shape[1:]
    if name == "efficientnet-lite0":
        model: keras.Model = EfficientNetLite0(shape)
        load_pretrained(model, name, "imagenet")
        return np.asarray(model.predict(image, verbose=0))
    architecture = name.rsplit("_", 1)[0]
    untrained = UNTRAINED.get(architecture)
    model = CoAtNet(shape, untrained or FAMILY[TIMM_BACKBONES[architecture]])
    load_file(model, folder / f"{name}.safetensors")
    if untrained:
        # timm normalises after pooling here.
        model = keras.Model(model.input, model.get_layer("norm").input)
    return np.asarray(model.predict(image, verbose=0))


def main() -> None:
    """Print one line for each network in the folder."""
    folder = Path(sys.argv[1])
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as file:
            expected = file["features"]
            found = features(path.stem, folder, file["image"])
        worst = np.abs(found - expected).max()
        print(f"{path.stem}: largest difference {worst:.1e}, largest value {np.abs(expected).max():.2f}, {expected.shape}")


if __name__ == "__main__":
    main()
