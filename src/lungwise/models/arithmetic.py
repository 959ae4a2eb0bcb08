"""Parameters and multiply-adds of any CoAtNet by arithmetic over its layout: nothing is built, no weight allocated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from lungwise.models.layout import FAMILY, Layout

PAPER_LOGIT_COST = 14
"""Operations for each attention logit that the paper's tables hold beside the products: scaling, bias, softmax.

The paper does not say what it counts. Its figures exceed the products alone by 1 % at 224 and 3.5 % at 512 pixels, always by
13 to 14 for each logit; this number is fitted to them.
"""


@dataclass
class Cost:
    """What a network holds and what one image costs.

    Args:
        weights: numbers that training changes.
        statistics: running means and variances of batch norms, which Keras' ``count_params`` counts as well.
        multiply_adds: of convolutions, dense layers and attention's two products, for one image.
        logits: attention logits of one image: all heads of all blocks.
    """

    weights: int = 0
    statistics: int = 0
    multiply_adds: int = 0
    logits: int = 0

    def dense(self, inputs: int, outputs: int, places: int, *, kernel: int = 1, bias: bool = True) -> None:
        """Add a dense layer or a convolution that is applied at so many places."""
        self.weights += kernel * kernel * inputs * outputs + bias * outputs
        self.multiply_adds += kernel * kernel * inputs * outputs * places

    def batch_norm(self, channels: int) -> None:
        """Add a batch norm."""
        self.weights += 2 * channels
        self.statistics += 2 * channels

    def layer_norm(self, channels: int) -> None:
        """Add a layer norm."""
        self.weights += 2 * channels


def _mbconv(cost: Cost, layout: Layout, inputs: int, width: int, before: int, after: int) -> None:
    """One MBConv block that turns ``before`` pixels into ``after``."""
    of_output = layout.hidden_of == "output"
    hidden = 4 * (width if of_output else inputs)
    squeeze = (width if of_output else hidden) // 4
    if inputs != width:
        cost.dense(inputs, width, after, bias=layout.output_bias)
    cost.batch_norm(inputs)
    cost.dense(inputs, hidden, before if layout.stride_at == "depthwise" else after, bias=False)
    cost.batch_norm(hidden)
    cost.dense(1, hidden, after, kernel=3, bias=False)
    cost.batch_norm(hidden)
    cost.dense(hidden, squeeze, 1)
    cost.dense(squeeze, hidden, 1)
    cost.dense(hidden, width, after, bias=layout.output_bias)


def _transformer(cost: Cost, layout: Layout, inputs: int, width: int, grid: tuple[int, int]) -> None:
    """One transformer block on a grid of (rows, columns)."""
    tokens, offsets = grid[0] * grid[1], (2 * grid[0] - 1) * (2 * grid[1] - 1)
    inner = width if layout.attention_of == "output" else inputs
    heads = inner // layout.head_size
    if inputs != width:
        cost.dense(inputs, width, tokens, bias=layout.shortcut_bias)
    cost.layer_norm(inputs)
    cost.dense(inputs, 3 * inner, tokens)
    cost.multiply_adds += 2 * tokens * tokens * inner
    cost.logits += tokens * tokens * heads
    if layout.position == "table":
        cost.weights += offsets * heads
    else:
        cost.dense(2, layout.position_width, offsets)
        cost.dense(layout.position_width, heads, offsets)
    cost.dense(inner, width, tokens)
    cost.layer_norm(width)
    cost.dense(width, 4 * width, tokens)
    cost.dense(4 * width, width, tokens)
    cost.weights += 2 * width * bool(layout.layer_scale)


def cost(layout: Layout, image_shape: tuple[int, int, int], classes: int = 0) -> Cost:
    """Cost of a backbone, with the paper's head of so many classes on it unless that is 0.

    The head is what the published counts need: pooled map, dense layer of the last width, dense layer to the classes.
    Without the first of the two CoAtNet-0 would have 24.4, not 25 million parameters.

    Args:
        layout: the network.
        image_shape: (height, width, channels); height and width are multiples of 32.
        classes: classes of the head.
    """
    height, width, channels = image_shape
    found = Cost()
    rows, columns = height // 2, width // 2
    stem = layout.stem or layout.widths[0]
    found.dense(channels, stem, rows * columns, kernel=3, bias=False)
    found.batch_norm(stem)
    found.dense(stem, layout.widths[0], rows * columns, kernel=3, bias=False)
    inputs = layout.widths[0]
    for _, kind, wide, stride in layout.plan():
        before = rows * columns
        rows, columns = rows // stride, columns // stride
        if kind == "mbconv":
            _mbconv(found, layout, inputs, wide, before, rows * columns)
        else:
            _transformer(found, layout, inputs, wide, (rows, columns))
        inputs = wide
    found.layer_norm(inputs)
    if classes:
        found.dense(inputs, inputs, 1)
        found.dense(inputs, classes, 1)
    return found


def parameter_count(name: str, classes: int = 1000, image_size: int = 224, channels: int = 3) -> int:
    """Trainable parameters of a named CoAtNet, head included.

    The paper's table counts a head of 1000 classes on colour images, so that is the default; ``classes=0`` counts the
    backbone alone. The size of the images matters a little: larger ones have more relative positions.

    Args:
        name: a member of the family, for example "coatnet4".
        classes: classes of the head (see :func:`cost`), or 0 for none.
        image_size: height and width of the images, a multiple of 32.
        channels: 3, or 1 for grey images.
    """
    return cost(FAMILY[name], (image_size, image_size, channels), classes).weights


def multiply_adds(
    name: str,
    image_size: int,
    classes: int = 1000,
    stride_at: Literal["depthwise", "expand", "pool"] | None = None,
    logit_cost: int = 0,
) -> int:
    """Multiply-adds of one colour image of ``image_size`` pixels a side; the paper calls them FLOPs.

    Args:
        name: a member of the family.
        image_size: height and width, a multiple of 32.
        classes: classes of the head, or 0 for none.
        stride_at: where strided MBConv blocks halve the map; by default as the layout says. The paper's main table has
            "expand"; timm's networks and ours have "depthwise" (its table 9: more accurate, 5 to 10 % dearer).
        logit_cost: what else to count for each attention logit; ``PAPER_LOGIT_COST`` gives the paper's tables.
    """
    layout = FAMILY[name]
    found = cost(replace(layout, stride_at=stride_at or layout.stride_at), (image_size, image_size, 3), classes)
    return found.multiply_adds + logit_cost * found.logits
