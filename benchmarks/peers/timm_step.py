"""A training step of a timm network in PyTorch, for benchmarks/training.py; runs in an environment that has torch and timm.

Prints one JSON line: images a second (median of the steps) and peak memory in MB.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from pathlib import Path


def main() -> None:
    """Time steps of forward, backward and AdamW."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="coatnet_0_224")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="bfloat16")
    options = parser.parse_args()
    sys.path.append(str(Path(__file__).parents[2] / "tools"))
    from torchvision_stand_in import stand_in_for_torchvision

    stand_in_for_torchvision()
    import timm
    import torch

    model = timm.create_model(options.model, num_classes=3, img_size=options.size).to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(model.parameters(), 1e-4)
    images = torch.randn(options.batch, 3, options.size, options.size).to(memory_format=torch.channels_last)
    labels = torch.arange(options.batch) % 3
    times = []
    for step in range(options.steps + 1):
        begin = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bfloat16"):
            loss = torch.nn.functional.cross_entropy(model(images), labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if step:
            times.append(time.perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rate": options.batch / statistics.median(times), "memory": peak}))


if __name__ == "__main__":
    main()
