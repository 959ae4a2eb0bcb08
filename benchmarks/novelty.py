"""How well does a bundle say "cannot assess"? What it turns away of real films, and of everything that is none.

    .venv/bin/python benchmarks/novelty.py --model model/ --data data/kermany --other data/darkcovidnet data/covidx9a
    .venv/bin/python benchmarks/novelty.py --model model/ --data data/kermany --methods
    .venv/bin/python benchmarks/novelty.py --model model/ --data data/kermany --cost

``--data`` is the data set that the bundle learnt from: its test part is turned, negated and cut, and stands for films that must
be accepted. Of ``--other`` sets every film is asked about. What is no film comes from ``not_films.py``; nothing is downloaded.
``--methods`` compares ways to measure a distance, on the validation part. ``--cost`` compares with the forward pass.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from not_films import DRAWINGS, Bytes, crops, head, photographs, relief
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

from lungwise import assessable
from lungwise.bundle.store import Bundle, read_bundle
from lungwise.data.store import PreparedData, Subset, open_data
from lungwise.imaging.cut_off import cut_reference
from lungwise.imaging.grey import PHOTOGRAPH
from lungwise.imaging.preprocess import resize
from lungwise.imaging.quality import judge, measure, reference
from lungwise.imaging.radiograph import Radiograph
from lungwise.imaging.read import decode
from lungwise.imaging.views import to_inputs
from lungwise.inference.assess import Assessor
from lungwise.inference.engines import DEFAULT, open_engine
from lungwise.inference.novelty import FILE, Novelty, pooled

EACH, PHOTOS, SEED, TURNS = 40, 150, 1, 15
Floats = NDArray[np.float64]


class Judge:
    """A bundle, and what it thinks of stored squares."""

    def __init__(self, bundle: Bundle) -> None:
        self.spec, self.assessor = bundle.spec, Assessor(bundle)
        self.engine = open_engine(bundle.onnx, DEFAULT)
        self.novelty = Novelty.from_bytes(bundle.extras[FILE])
        self.limit = float(bundle.spec.novelty.limit or 0) if bundle.spec.novelty else 0.0

    def features(self, squares: Bytes) -> NDArray[np.float32]:
        """Embeddings float32 [n, ...] of uint8 [n, S, S]; squares of another size are resized first."""
        blocks = [squares[start : start + 16] for start in range(0, len(squares), 16)]
        return np.concatenate([self.engine.run(self.inputs(block), ("embedding",)).embedding for block in blocks])

    def inputs(self, squares: Bytes) -> NDArray[np.float32]:
        """What the network takes: float32 [n, size, size, 1]."""
        made = self.spec.preprocess
        return np.concatenate([to_inputs(resize(np.ascontiguousarray(square), made.stored), made, 1) for square in squares])

    def reasons(self, squares: Bytes, embeddings: NDArray[np.float32]) -> list[tuple[str, ...]]:
        """Why each is turned away."""
        return self.assessor.reasons([Radiograph(square) for square in squares], list(squares), embeddings)

    def score(self, squares: Bytes, embeddings: NDArray[np.float32]) -> Floats:
        """One number for "is no frontal film like those of training": 1 where either limit lies, float64 [n].

        The largest of distance / limit, and of 1 + (what lies beyond the limit, in log odds) / 10 of the image's scores as no
        frontal film and as one that is cut off.
        """
        seen = measure(squares)
        beyond = np.maximum(reference().frontal - seen.frontal, seen.cut - cut_reference().limit)
        return np.maximum(self.novelty.distances(embeddings) / self.limit, 1 + beyond / 10)


def squares_of(part: Subset) -> Bytes:
    """The films of a part, uint8 [n, S, S]."""
    return np.stack([np.asarray(part.data.pixels[row]) for row in part.rows])


def said(reasons: list[tuple[str, ...]]) -> str:
    """Which reasons how often, without their numbers."""
    counts = Counter(reason.split(" (")[0].split(":")[0] for found in reasons for reason in found)
    return ", ".join(f"{reason} {count}" for reason, count in counts.most_common()) or "none"


def films(judge_: Judge, data: PreparedData, part: Subset, name: str) -> None:
    """Print what is turned away of real films, and which ones."""
    squares = squares_of(part)
    reasons = judge_.reasons(squares, judge_.features(squares))
    away = [row for row, found in enumerate(reasons) if found]
    print(f"{name}: {len(away)} of {len(squares)} turned away, {len(away) / len(squares):.1%}: {said(reasons)}")
    for row in away[:12]:
        print(f"    {part.manifest['path'][row]}: {'; '.join(reasons[row])}")


def wrong(squares: Bytes) -> dict[str, Bytes]:
    """Real films as they must not be judged: negated, turned, and cut off."""
    found = {"inverted": 255 - squares}
    found |= {f"turned by {90 * n}": np.ascontiguousarray(np.rot90(squares, n, axes=(1, 2))) for n in (1, 2, 3)}
    for share in (0.2, 0.3, 0.4, 0.5):
        for side, name in enumerate(("top", "left", "bottom")):
            found[f"cut off: {share:.0%} at the {name}"] = np.stack([_cut(square, share, side) for square in squares[::2]])
    return found


def _cut(square: Bytes, share: float, turns: int) -> Bytes:
    turned = np.rot90(square, -turns)
    return resize(np.ascontiguousarray(np.rot90(turned[round(share * len(square)) :], turns)), len(square))


def not_films(side: int) -> dict[str, Bytes]:
    """Everything that is no film, brought to squares; photographs in grey, so that no colour gives them away."""
    rng = np.random.default_rng(SEED)
    grey = [np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8) for image in photographs()]
    found = {"photograph, grey": crops(grey, PHOTOS, rng), "relief": crops([relief()], EACH, rng)}
    found["head (MR)"] = crops([head()], EACH, rng, 128)
    found |= {name: [draw(rng) for _ in range(EACH)] for name, draw in DRAWINGS.items()}
    return {name: np.stack([resize(picture, side) for picture in pictures]) for name, pictures in found.items()}


def report(judge_: Judge, data: PreparedData) -> None:
    """Print, for each kind of picture, the AUROC of the score against the test part and the share that is turned away."""
    test = squares_of(data.test)
    true = judge_.score(test, judge_.features(test))
    pools: dict[str, list[Floats]] = {"not films": [], "films that stand wrongly": []}
    print(f"\n{'kind':<34} {'n':>5} {'AUROC':>7} {'turned away':>12}")
    for name, pictures in {**not_films(data.spec.stored), **wrong(test)}.items():
        embeddings = judge_.features(pictures)
        scores, reasons = judge_.score(pictures, embeddings), judge_.reasons(pictures, embeddings)
        if not name.startswith("cut off"):
            pools["films that stand wrongly" if name.split()[0] in ("inverted", "turned") else "not films"].append(scores)
        print(_line(name, true, scores, float(np.mean([bool(found) for found in reasons]))))
    for name, parts in pools.items():
        print(_line(f"all {name}", true, np.concatenate(parts), None))
    print(_line("all", true, np.concatenate([*pools["not films"], *pools["films that stand wrongly"]]), None))
    colour = [
        decode(cv2.imencode(".png", crop)[1].tobytes()) for crop in crops(photographs(), PHOTOS, np.random.default_rng(SEED))
    ]
    noted = np.mean([PHOTOGRAPH in radiograph.warnings for radiograph in colour])
    print(f"colour alone calls {noted:.0%} of {PHOTOS} pieces of colour photographs photographs")


def _line(name: str, true: Floats, scores: Floats, share: float | None) -> str:
    auroc = roc_auc_score(np.r_[np.zeros(len(true)), np.ones(len(scores))], np.r_[true, scores])
    return f"{name:<34} {len(scores):>5} {auroc:>7.4f} {'' if share is None else f'{share:>12.1%}'}"


Method = Callable[[NDArray[Any]], Floats]


def methods(train: Floats, y: NDArray[np.integer[Any]]) -> dict[str, Method]:
    """Ways to say how far features are from those of training."""
    found: dict[str, Method] = {}
    directions = assessable.DIRECTIONS
    for number in (8, 16, 32, 64, 128):
        assessable.DIRECTIONS = number
        found[f"Mahalanobis, {number} directions and rest"] = assessable.fit(train, y).distances
    assessable.DIRECTIONS = directions
    unit = train / np.linalg.norm(train, axis=1, keepdims=True)
    found["the same, 32, features of length 1"] = lambda x: assessable.fit(unit, y).distances(_unit(x))
    found["Mahalanobis, whole covariance"] = lambda x: _mahalanobis(x, train, y)
    whole = np.zeros_like(y)
    found["relative Mahalanobis"] = lambda x: _mahalanobis(x, train, y) ** 2 - _mahalanobis(x, train, whole) ** 2
    for k in (1, 10, 50):
        found[f"nearest neighbour {k}, length 1"] = lambda x, k=k: -np.sort(_unit(x) @ unit.T, axis=1)[:, -k]  # type: ignore[misc]
    return found


def _unit(features: NDArray[Any]) -> Floats:
    return np.asarray(features / np.linalg.norm(features, axis=1, keepdims=True), np.float64)


def _mahalanobis(features: Floats, train: Floats, y: NDArray[np.integer[Any]]) -> Floats:
    means = np.stack([train[y == column].mean(axis=0) for column in np.unique(y)])
    precision = np.linalg.inv(
        LedoitWolf(assume_centered=True).fit(train - means[np.unique(y, return_inverse=True)[1]]).covariance_
    )
    away = features[:, None] - means
    return np.sqrt(np.einsum("ncd,de,nce->nc", away, precision, away).min(axis=1))


def compare(judge_: Judge, data: PreparedData) -> None:
    """Print how well each method tells the validation part from everything else."""
    channels = judge_.novelty.means.shape[1]
    parts = [assessable.evenly(part) for part in (data.train, data.validation)]
    squares = [squares_of(part) for part in parts]
    turned = {name: pictures for name, pictures in wrong(squares[1]).items() if not name.startswith("cut off")}
    train, films_ = (pooled(judge_.features(block), channels) for block in squares)
    strange, stood = (
        np.concatenate([pooled(judge_.features(block), channels) for block in kinds.values()])
        for kinds in (not_films(data.spec.stored), turned)
    )
    print(
        f"\n{'validation against':<38} {'not films':>20} {'films that stand wrongly':>26}\n{'':<38}{'AUROC, found at 1 %':>21}"
    )
    for name, distance in methods(train, parts[0].y).items():
        known, cells = distance(films_), []
        for others in (strange, stood):
            far = distance(others)
            auroc = roc_auc_score(np.r_[np.zeros(len(known)), np.ones(len(far))], np.r_[known, far])
            cells.append(f"{auroc:.4f}, {np.mean(far > np.quantile(known, 0.99)):>6.1%}")
        print(f"{name:<38} {cells[0]:>20} {cells[1]:>26}")


def cost(judge_: Judge, data: PreparedData) -> None:
    """Print what checks and distance take, as a share of the forward pass of the same images."""
    for number in (1, 8):
        squares = squares_of(Subset(data, data.test.rows[:number]))
        inputs, embeddings = judge_.inputs(squares), judge_.features(squares)
        works: dict[str, Callable[[], object]] = {
            "forward pass": lambda: judge_.engine.run(inputs, ("embedding",)),  # noqa: B023 - called within this turn
            "image checks": lambda: judge(squares, [(300, 300)] * len(squares)),  # noqa: B023
            "distance": lambda: judge_.novelty.distances(embeddings),  # noqa: B023
        }
        taken = {name: _median(work) for name, work in works.items()}
        shares = [f"{name} {1000 * taken[name]:.2f} ms = {taken[name] / taken['forward pass']:.1%}" for name in list(works)[1:]]
        print(f"{number} image(s): forward pass {1000 * taken['forward pass']:.2f} ms; {'; '.join(shares)}")


def _median(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(TURNS):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="the prepared data that it learnt from")
    parser.add_argument("--other", type=Path, nargs="*", default=[], help="other prepared data")
    parser.add_argument("--methods", action="store_true")
    parser.add_argument("--cost", action="store_true")
    wanted = parser.parse_args()
    one, prepared = Judge(read_bundle(wanted.model)), open_data(wanted.data)
    print(one.spec.novelty)
    if wanted.cost:
        cost(one, prepared)
    elif wanted.methods:
        compare(one, prepared)
    else:
        films(one, prepared, prepared.test, f"{wanted.data.name}, test part")
        for place in wanted.other:
            further = open_data(place)
            films(one, further, further.part("train", "validation", "test"), f"{place.name}, all films")
        report(one, prepared)
