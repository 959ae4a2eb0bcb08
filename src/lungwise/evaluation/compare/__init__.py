"""Several runs beside each other: a table of figures, and differences on the same cases."""

from lungwise.evaluation.compare.comparison import compare
from lungwise.evaluation.compare.runs import read_metrics

__all__ = ["compare", "read_metrics"]
