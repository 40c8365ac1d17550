"""`ensemble`: several networks that differ by their seeds, and by the samples that they learn from."""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..data import samples
from ..data.targets import Targets
from ..model.ensemble import Ensemble
from . import train_many
from . import variants as variants_of


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
    Train several networks that differ by their seeds, to predict together.

    Their mean is mostly better than one of them, and where they are far apart they know little. Each has the same bits as if `fastbp.train`
    had trained it alone, with the seed that its ``options`` name.

    Parameters
    ----------
    X : array-like or frame, shape (n, features)
        As in `fastbp.train`.
    y : array-like, shape (n,) or (n, outputs)
        As in `fastbp.train`.
    n : int
        Number of networks.
    bootstrap : bool
        Each learns from as many samples drawn with replacement, in classification within each class: they then differ by what they have
        seen, too. A sample that is drawn twice is there once, with twice the weight.
    seed : int, optional
        What the seeds of the networks, and the samples that each learns from, are drawn from; drawn and recorded if left out.
        The first networks of a larger ensemble are those of a smaller one.
    threads : int, optional
        Networks at a time; by default as many as Numba has threads. The result has the same bits for any number.
    progress : bool, optional
        Progress bar on stderr; by default on a terminal once it takes longer than a second.
    engine : distributed.Client, optional
        Train on the workers of a Dask cluster (extra ``dask``), with the same bits; see "On several machines" in the guide.
    **options
        Options of `fastbp.train`. A share as ``validation`` is drawn anew for each network.

    Returns
    -------
    Ensemble

    Raises
    ------
    ValueError
        An argument that cannot be used; the message names it, what was expected and what came.

    Warns
    -----
    RuntimeWarning
        Some networks are missing, and the ensemble is smaller: their training diverged, or Ctrl-C came. If all are, what the first failed
        with is raised.

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
    table, known, target, options = variants_of.in_common("ensemble", X, y, options)
    weight = samples.own_weights("sample_weight", len(known), options.get("sample_weight"))
    random, variants = np.random.default_rng(seed), []
    for _ in range(n):
        variant: dict[str, Any] = {"seed": int(random.integers(2**32))}
        if bootstrap:
            times = np.bincount(_drawn(target, random), minlength=len(known))
            variant |= {"rows": times > 0, "sample_weight": times * weight}
        variants.append(variant)
    nets = train_many.trained(
        table, known, variants, options, called="networks[{}]", threads=threads, progress=progress, engine=engine
    )
    train_many.require_one(nets)
    train_many.warn_of_failures(nets)
    found = tuple(nets[k] for k in range(n) if k not in nets.failures)
    return Ensemble(found, {"n": n, "bootstrap": bootstrap, "seed": seed})


def _drawn(target: Targets, random: np.random.Generator) -> NDArray[np.int64]:
    """Numbers of as many samples, drawn with replacement from all, or from those of each class."""
    n = len(target.values)
    if target.classes is None:
        return random.integers(n, size=n)
    order, counts = np.argsort(target.values, kind="stable"), np.bincount(target.values)
    first = np.cumsum(counts) - counts
    return order[np.repeat(first, counts) + random.integers(np.repeat(counts, counts))]
