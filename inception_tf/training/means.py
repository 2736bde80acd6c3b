"""Means of what updates report, from one line of the metrics to the next."""

import math
from collections.abc import Mapping
from typing import Any

NAMES = ("loss", "cross_entropy", "error")


class Means:
    """Sums over the updates since the last line; those that were not applied do not count.

    Args:
        sums: `updates` and NAMES -> number, as `sums` gave it; a checkpoint between two
            lines has them, so that a resumed run writes the same lines.
    """

    def __init__(self, sums: Mapping[str, float]) -> None:
        self.sums = {name: sums.get(name, 0.0) for name in ("updates", *NAMES)}

    def add(self, metrics: Mapping[str, Any]) -> None:
        """Counts an update: is_finite and NAMES -> number."""
        if metrics["is_finite"]:
            self.sums["updates"] += 1
            for name in NAMES:
                self.sums[name] += float(metrics[name])

    def take(self) -> dict[str, float]:
        """NAMES -> mean, NaN where no update was applied; the next line begins."""
        updates = self.sums["updates"]
        means = {name: self.sums[name] / updates if updates else math.nan for name in NAMES}
        self.sums = dict.fromkeys(self.sums, 0.0)
        return means
