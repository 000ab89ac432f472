"""What scipy says of some series, for the test in tests/oracle.rs: python3 reference.py > numbers.json (scipy 1.17).

The score, its variance with ties and Theil-Sen's slopes with their interval are scipy's own. Hamed and Rao's factor, the
first lag's, and the partial test are written out from the papers, plainly, with scipy's ranks.
"""
import json
import math
import random

import numpy as np
from scipy import stats


def series():
    rng = random.Random(7)
    flat = [100e6 + rng.gauss(0, 6e5) for _ in range(40)]
    leak = [100e6 + 25_000 * i + rng.gauss(0, 6e5) for i in range(40)]
    noise, walk = 0.0, []
    for _ in range(64):
        noise = 0.8 * noise + rng.gauss(0, 4e5)
        walk.append(100e6 + noise)
    ties = [float(rng.randrange(6)) for _ in range(24)]
    falling = [50.0 - i + rng.random() for i in range(12)]
    for name, y in [("flat", flat), ("leak", leak), ("autocorrelated", walk), ("ties", ties), ("falling", falling)]:
        x, at = [], 2000.0
        for _ in y:
            at += rng.randrange(10, 500)
            x.append(at)
        load = [float(rng.randrange(20)) for _ in y]
        yield name, x, y, load


def score(y):
    """S of Mann and Kendall, from scipy's Kendall tau-b: S over the geometric mean of the pairs without ties."""
    n = len(y)
    tau = stats.kendalltau(range(n), y).statistic
    pairs = n * (n - 1) / 2
    tied = sum(t * (t - 1) / 2 for t in np.unique(y, return_counts=True)[1])
    return float(round(tau * math.sqrt(pairs * (pairs - tied))))


def variance(y):
    n = len(y)
    ties = sum(t * (t - 1) * (2 * t + 5) for t in np.unique(y, return_counts=True)[1])
    return float((n * (n - 1) * (2 * n + 5) - ties) / 18)


def widened(detrended):
    ranks = stats.rankdata(detrended)
    n = len(ranks)
    d = ranks - ranks.mean()
    r = [float((d[k:] * d[: n - k]).sum() / (d * d).sum()) for k in range(n)]
    limit = stats.norm.ppf(0.975) / math.sqrt(n)
    hamed_rao = 1 + 2 / (n * (n - 1) * (n - 2)) * sum(
        (n - k) * (n - k - 1) * (n - k - 2) * r[k] for k in range(1, n) if abs(r[k]) > limit
    )
    first = min(0.95, max(0.0, (n * r[1] + 1) / (n - 4)))
    persistent = 1 + 2 * sum((1 - k / n) * first**k for k in range(1, n))
    return max(1.0, hamed_rao, persistent)


def partial(y, load):
    n = len(y)
    k = sum(np.sign((y[j] - y[i]) * (load[j] - load[i])) for i in range(n) for j in range(i + 1, n))
    products = (stats.rankdata(y) * stats.rankdata(load)).sum()
    covariance = (k + 4 * products - n * (n + 1) ** 2) / 3
    beta = covariance / variance(load)
    return float(score(y) - beta * score(load)), float(variance(y) - beta * covariance)


def p(s, var):
    return float(2 * stats.norm.sf(max(0.0, abs(s) - 1) / math.sqrt(var)))


out = []
for name, x, y, load in series():
    found = stats.theilslopes(y, x, alpha=0.95)
    detrended = [b - found.slope * a for a, b in zip(x, y)]
    factor = widened(detrended)
    s, var = partial(y, load)
    out.append({
        "name": name, "x": x, "y": y, "load": load,
        "score": score(y), "variance": variance(y), "plain_p": p(score(y), variance(y)),
        "slope": float(found.slope), "low": float(found.low_slope), "high": float(found.high_slope),
        "widened": factor, "partial_score": s, "partial_variance": var * factor, "p": p(s, var * factor),
    })
print(json.dumps(out, indent=1))
