"""Full-jitter exponential backoff: spreads retries so that they do not come back as one wave.

The rule is "full jitter" of Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import random

LARGEST_EXPONENT = 32  # beyond it every base has met its cap, and floats would only grow


def full_jitter(failures: int, *, base: float, cap: float, rng: random.Random, floor: float = 0.0) -> float:
    """Seconds to wait after the `failures`-th failure in a row (1 is the first): uniform between `floor` and
    base * 2^(failures - 1), which `cap` bounds."""
    ceiling = min(cap, base * 2.0 ** min(failures - 1, LARGEST_EXPONENT))
    return rng.uniform(min(floor, ceiling), ceiling)
