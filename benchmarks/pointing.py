"""Do heat maps point to the finding? The pointing game on phantoms, whose opacities are known.

    .venv/bin/python benchmarks/pointing.py --model demo/model

For rightly recognised phantoms: how often the warmest point lies within the opacity (15 px of tolerance), and how often
it lies on the opacity's side. Source: Zhang et al., "Top-down Neural Attention by Excitation Backprop", 2016.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from lungwise.bundle.store import read_bundle
from lungwise.data.phantoms import make_phantom
from lungwise.imaging.preprocess import preprocess
from lungwise.imaging.radiograph import Radiograph
from lungwise.inference.engines import open_engine
from lungwise.inference.explain import grad_cam

NUMBER, SEED, TOLERANCE = 60, 99, 31


def main() -> None:
    """Print one line for each class with an opacity."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    bundle = read_bundle(parser.parse_args().model)
    engine, rng = open_engine(bundle.onnx), np.random.default_rng(SEED)
    for label in ("pneumonia", "COVID-19"):
        column, right, within, side = bundle.spec.labels.index(label), 0, 0, 0
        for _ in range(NUMBER):
            phantom = make_phantom(label, rng)
            out = engine.run(preprocess(Radiograph(phantom.pixels), bundle.spec.preprocess)[None])
            if out.logits[0].argmax() != column:
                continue
            heat = grad_cam(out.features[0], out.embedding[0], bundle.head, bundle.spec.head, column)
            heat = cv2.resize(heat, phantom.pixels.shape[::-1], interpolation=cv2.INTER_CUBIC)
            row, place = np.unravel_index(heat.argmax(), heat.shape)
            near = cv2.dilate(phantom.mask, np.ones((TOLERANCE, TOLERANCE), np.uint8))
            middle = heat.shape[1] / 2
            right += 1
            within += int(near[row, place] > 0)
            side += int((np.nonzero(phantom.mask)[1].mean() > middle) == (place > middle))
        print(f"{label:<10} recognised {right} of {NUMBER}: within the opacity {within}, on its side {side}")


if __name__ == "__main__":
    main()
