"""Forward passes of a timm network in PyTorch, for benchmarks/inference.py; runs in an environment that has torch and timm.

Prints one JSON line: setting and batch to seconds an image (medians), or to the reason why the setting cannot be had.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SETTINGS = ("eager", "channels_last", "channels_last bf16", "compile", "compile bf16")


def network(options: argparse.Namespace, setting: str) -> Callable[[Any], Any]:
    """The network in one setting."""
    import timm
    import torch

    kind = torch.bfloat16 if "bf16" in setting else torch.float32
    model = timm.create_model(options.model, num_classes=3, in_chans=1, img_size=options.size).eval().to(kind)
    if setting != "eager":
        model = model.to(memory_format=torch.channels_last)
    if "compile" in setting:
        import torch._dynamo
        from torch._inductor import config

        torch._dynamo.reset()
        config.freezing = True  # constants are folded and weights laid out anew: inductor's best on a CPU
        model = torch.compile(model, dynamic=False)

    def answer(images: Any) -> Any:
        return model(images.to(kind)).float().numpy()

    return answer


def main() -> None:
    """Time every setting in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="coatnet_0_224")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=SETTINGS)
    options = parser.parse_args()
    sys.path.append(str(Path(__file__).parents[2] / "tools"))
    from torchvision_stand_in import stand_in_for_torchvision

    stand_in_for_torchvision()
    import torch

    found: dict[str, Any] = {}
    with torch.inference_mode():
        for setting in options.settings:
            for batch in options.batches:
                try:
                    answer = network(options, setting)
                    images = torch.randn(batch, 1, options.size, options.size)
                    if setting != "eager":
                        images = images.to(memory_format=torch.channels_last)
                    found[f"timm {setting}, {batch}"] = timed(answer, images, options.seconds)
                except Exception as refusal:  # a peer that cannot do this is a result, whatever it raises
                    found[f"timm {setting}, {batch}"] = f"{type(refusal).__name__}: {refusal}".splitlines()[0][:200]
    print(json.dumps(found))


def timed(answer: Callable[[Any], Any], images: Any, seconds: float) -> float:
    """Median seconds an image, of at least 3 passes after two that warm up."""
    for _ in range(2):
        answer(images)
    times: list[float] = []
    while sum(times) < seconds or len(times) < 3:
        begin = time.perf_counter()
        answer(images)
        times.append(time.perf_counter() - begin)
    return statistics.median(times) / len(images)


if __name__ == "__main__":
    main()
