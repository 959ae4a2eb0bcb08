"""Token buckets: so many requests at once, so many a minute after that, for each client and in bounded memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import AddressValueError, IPv6Address
from math import ceil

MOST = 10_000
"""Clients that are remembered; beyond it those are forgotten that were not seen for longest."""


class Rates:
    """One bucket for each client.

    Args:
        per_minute: requests a minute in the long run.
        burst: requests that may come at once.
        now: seconds of a clock that never goes back.
        most: clients that are remembered.
    """

    def __init__(self, per_minute: float, burst: int, now: Callable[[], float] = time.monotonic, most: int = MOST) -> None:
        self._rate, self._burst, self._now, self._most = per_minute / 60, float(burst), now, most
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """Clients that are remembered."""
        return len(self._buckets)

    def wait(self, client: str) -> int:
        """Count one request: 0 where it may pass, else the whole seconds after which the next one may."""
        now = self._now()
        left, seen = self._buckets.pop(client, (self._burst, now))
        left = min(self._burst, left + (now - seen) * self._rate)
        passes = left >= 1
        self._buckets[client] = (left - 1 if passes else left, now)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return 0 if passes else max(1, ceil((1 - left) / self._rate))


def network(address: str) -> str:
    """What counts as one client: an IPv4 address, or the 64 bits of IPv6 that one household has."""
    try:
        six = IPv6Address(address.partition("%")[0])
    except AddressValueError:
        return address
    if six.ipv4_mapped:
        return str(six.ipv4_mapped)
    return f"{IPv6Address(int(six) >> 64 << 64)}/64"
