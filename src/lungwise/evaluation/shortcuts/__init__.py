"""Does a model read lungs, or something else that gives the class away? Experiments that take the lungs or the rest away."""

from lungwise.evaluation.shortcuts.check import Check, worst
from lungwise.evaluation.shortcuts.films import Films, Model, films_of
from lungwise.evaluation.shortcuts.run import experiments

__all__ = ["Check", "Films", "Model", "experiments", "films_of", "worst"]
