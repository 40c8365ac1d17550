"""`ensemble`: several networks that differ in their seeds, and in the samples that they learn from."""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..data.targets import Targets
from ..model.ensemble import Ensemble
from ..runtime.warning import once
from .train_many import require_one, train_variants, warn_of_failures
from .variants import read_common


@once()
def ensemble(
    X: ArrayLike,
    y: ArrayLike,
    n: int = 8,
    *,
    bootstrap: bool = False,
    seed: int | None = None,
    threads: int | None = None,
    progress: bool | None = None,
    engine: Any = None,
    **options: Any,
) -> Ensemble:
    """
    Train several networks that differ in their seeds, to predict together.

    Their mean usually beats any single one, and where they disagree, the prediction is uncertain. Each is bit for bit
    as if `fastbp.train` had trained it alone, with the seed in its ``options``.

    Parameters
    ----------
    X : array-like or frame, shape (n, features)
        As in `fastbp.train`.
    y : array-like, shape (n,) or (n, outputs)
        As in `fastbp.train`.
    n : int
        Number of networks.
    bootstrap : bool
        Train each network on its own sample of the rows: as many, drawn with replacement, in classification within each
        class. A row that is drawn twice is used once, with twice the weight.
    seed : int, optional
        Determines the seeds of the networks, and the rows that each learns from; drawn and recorded if left out. The
        first networks of a larger ensemble are those of a smaller one.
    threads : int, optional
        Networks at a time; by default as many as Numba has threads. The result has the same bits for any number.
    progress : bool, optional
        Progress bar on stderr; by default on a terminal once it takes longer than a second.
    engine : distributed.Client, optional
        Train on the workers of a Dask cluster (extra ``dask``), with the same bits; see "On several machines" in the
        guide.
    **options
        Options of `fastbp.train`. A fraction as ``validation`` is drawn separately for each network.

    Returns
    -------
    Ensemble

    Raises
    ------
    ValueError
        An invalid argument; the message names it, what was expected and what it got.

    Warns
    -----
    RuntimeWarning
        Some networks are missing, and the ensemble is smaller: their training diverged, or Ctrl-C came. If all are
        missing, the exception of the first is raised.

    Examples
    --------
    >>> import fastbp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> xor = fastbp.ensemble(X, y, 4, hidden=(8,), epochs=200, seed=0)
    >>> xor.predict(X), xor.spread([[0, 1], [30, 2]]).shape
    (array([0, 1, 1, 0]), (2, 2))
    """
    checks.integer("n", n, 1)
    checks.boolean("bootstrap", bootstrap)
    seed = secrets.randbits(32) if seed is None else checks.integer("seed", seed, 0)
    common = read_common(ensemble, X, y, options, excluded=("quality",))
    known, target = common.y, common.target
    weight = checks.weights("sample_weight", len(known), common.options["sample_weight"])
    random, variants = np.random.default_rng(seed), []
    for _ in range(n):
        variant: dict[str, Any] = {"seed": int(random.integers(2**32))}
        if bootstrap:
            times = np.bincount(_drawn(target, random), minlength=len(known))
            variant |= {"rows": times > 0, "sample_weight": times * weight}
        variants.append(variant)
    nets = train_variants(common.table, known, variants, common.options, "networks[{}]", threads, progress, engine)
    require_one(nets)
    warn_of_failures(nets)
    found = tuple(nets[k] for k in range(n) if k not in nets.failures)
    return Ensemble(found, {"n": n, "bootstrap": bootstrap, "seed": seed})


def _drawn(target: Targets, random: np.random.Generator) -> NDArray[np.int64]:
    """Numbers of n samples, drawn with replacement, in classification within each class."""
    n = len(target.values)
    if target.classes is None:
        return random.integers(n, size=n)
    order, counts = np.argsort(target.values, kind="stable"), np.bincount(target.values)
    first = np.cumsum(counts) - counts
    return order[np.repeat(first, counts) + random.integers(np.repeat(counts, counts))]
