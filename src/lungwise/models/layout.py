"""The members of the CoAtNet family as plain numbers: what each is made of, without any network being built.

Source: Dai et al. 2021, arXiv 2106.04803, tables 3, 11 and 12; the ``-rw`` layouts are those that timm 1.0 (Apache-2.0)
trained before the paper's code was known, and the only ones with published weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Five = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class Layout:
    """One CoAtNet. The defaults are the paper's blocks; the other values are needed by timm's weights.

    Args:
        blocks: number of blocks of S0 (the stem's convolutions, always 2) to S4.
        widths: channels of S0 to S4.
        stem: channels of the stem's first convolution; 0 means ``widths[0]``.
        mixed: MBConv blocks that open S3, and their width (CoAtNet-6 and 7); (0, 0) for none.
        activation: name of the activation in the stem and in MBConv blocks.
        mlp_activation: name of the activation in the transformers' feed-forward network.
        pool: "max" or "avg", 2x2, of strided shortcuts.
        stride_at: where a strided MBConv block halves the map: by its "depthwise" convolution, its first 1x1 convolution
            ("expand"), or by an average "pool" before that.
        hidden_of: whether MBConv's hidden width is 4 times its "output" or its "input"; the squeeze-and-excitation has a
            quarter of the block's width with "output", a quarter of the hidden width with "input".
        pre_activation: an activation follows MBConv's first norm.
        squeeze_early: squeeze-and-excitation comes before the depthwise convolution's norm and activation, not after.
        squeeze_activation: name of the activation within squeeze-and-excitation.
        output_bias: MBConv's last convolution and its shortcut have a bias.
        attention_of: whether a block that changes the width attends in the "output" or the "input" width.
        shortcut_bias: the shortcut of a strided transformer block has a bias.
        head_size: channels of one attention head.
        position: relative positions have a "table" of biases, or an "mlp" that computes them from log-distances.
        position_width: hidden width of that "mlp".
        layer_scale: first value of learned factors on the transformers' branches; 0 leaves them out.
    """

    blocks: Five
    widths: Five
    stem: int = 0
    mixed: tuple[int, int] = (0, 0)
    activation: str = "gelu"
    mlp_activation: str = "gelu"
    pool: Literal["max", "avg"] = "max"
    stride_at: Literal["depthwise", "expand", "pool"] = "depthwise"
    hidden_of: Literal["output", "input"] = "output"
    pre_activation: bool = False
    squeeze_early: bool = False
    squeeze_activation: str = "silu"
    output_bias: bool = True
    attention_of: Literal["output", "input"] = "output"
    shortcut_bias: bool = True
    head_size: int = 32
    position: Literal["table", "mlp"] = "table"
    position_width: int = 512
    layer_scale: float = 0.0

    def plan(self) -> list[tuple[str, str, int, int]]:
        """Every block after the stem, in order: its name ("s1_b0"), its kind ("mbconv" or "transformer"), width and stride."""
        rows: list[tuple[str, str, int, int]] = []
        for stage in range(1, 5):
            kinds = [("mbconv" if stage <= 2 else "transformer", self.widths[stage])] * self.blocks[stage]
            if stage == 3:
                kinds = [("mbconv", self.mixed[1])] * self.mixed[0] + kinds
            rows += [(f"s{stage}_b{i}", kind, width, 2 if i == 0 else 1) for i, (kind, width) in enumerate(kinds)]
        return rows


_NARROW: Five = (64, 96, 192, 384, 768)
_WIDE: Five = (192, 192, 384, 768, 1536)
_PAPER = {
    "coatnet0": Layout((2, 2, 3, 5, 2), _NARROW),
    "coatnet1": Layout((2, 2, 6, 14, 2), _NARROW),
    "coatnet2": Layout((2, 2, 6, 14, 2), (128, 128, 256, 512, 1024)),
    "coatnet3": Layout((2, 2, 6, 14, 2), _WIDE),
    "coatnet4": Layout((2, 2, 12, 28, 2), _WIDE),
    "coatnet5": Layout((2, 2, 12, 28, 2), (192, 256, 512, 1280, 2048), head_size=64),
    "coatnet6": Layout((2, 2, 4, 42, 2), (192, 192, 384, 1536, 2048), mixed=(8, 768), head_size=128),
    "coatnet7": Layout((2, 2, 4, 42, 2), (192, 256, 512, 2048, 3072), mixed=(8, 1024), head_size=128),
}
_OWN = {
    # Ours, for CPUs: CoAtNet's shape at a fraction of the width, swish instead of GELU, which costs half as much here.
    "coatnet-pico": Layout((2, 2, 2, 4, 2), (32, 48, 96, 192, 384), activation="silu", mlp_activation="silu"),
    "coatnet-nano": Layout((2, 2, 3, 5, 2), (48, 64, 128, 256, 512), activation="silu", mlp_activation="silu"),
}
_NANO_RW = Layout(
    (2, 3, 4, 6, 3), (64, 64, 128, 256, 512), stem=32, activation="silu", pool="avg", stride_at="pool", hidden_of="input",
    attention_of="input",
)  # fmt: skip
_RW = replace(
    _NANO_RW, blocks=(2, 2, 6, 14, 2), widths=(64, 96, 192, 384, 768), stride_at="depthwise", pre_activation=True,
    squeeze_activation="relu", output_bias=False,
)  # fmt: skip
_RW_EARLY = replace(_RW, squeeze_early=True, shortcut_bias=False)
_RW2 = replace(_RW, widths=(128, 128, 256, 512, 1024), stem=64, squeeze_activation="silu")
_TIMM = {
    "coatnet-nano-rw": _NANO_RW,
    "coatnet0-rw": replace(_RW_EARLY, blocks=(2, 2, 3, 7, 2), stride_at="pool"),
    "coatnet1-rw": _RW_EARLY,
    "coatnet2-rw": _RW2,
    "coatnet-rmlp-nano-rw": replace(_NANO_RW, stride_at="depthwise", position="mlp", position_width=384),
    "coatnet-rmlp1-rw2": replace(_RW, position="mlp"),
    "coatnet-rmlp2-rw": replace(_RW2, position="mlp", layer_scale=1e-6),
}
FAMILY = _PAPER | _OWN | _TIMM
"""Named members of the family."""
