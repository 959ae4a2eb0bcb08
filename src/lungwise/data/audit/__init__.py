"""What in a collection would mislead whoever learns from it; each concern is a module that yields findings."""

from lungwise.data.audit.finding import Finding
from lungwise.data.audit.run import audit, worst_first

__all__ = ["Finding", "audit", "worst_first"]
