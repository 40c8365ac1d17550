"""`train` and `resume`, where every training begins: the options of the user."""

from __future__ import annotations

import inspect
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike

from .. import checks, compilation, losses
from ..model.network import Network
from ..second_order.options import DAMPING
from . import checkpoint as checkpoints
from .defaults import AUTO, SINGLE
from .design import DEFAULT_ACTIVATION
from .prepare import prepare_run
from .quality import finished
from .source import MemorySource, Source
from .state import Epoch


@checks.suggesting
def train(  # noqa: PLR0913
    X: ArrayLike,
    y: ArrayLike,
    *,
    quality: str = AUTO,
    task: str = "auto",
    hidden: int | Sequence[int] | None = None,
    activation: str | Sequence[str] = DEFAULT_ACTIVATION,
    output: str = "auto",
    loss: str | tuple[Callable[[float, float], float], Callable[[float, float], float]] = "auto",
    quantile: float | Sequence[float] = losses.LEVEL,
    huber_delta: float = losses.DELTA,
    optimizer: str = "adam",
    learning_rate: float | None = None,
    schedule: str | None = None,
    warmup: float = 0,
    batch_size: int | None = None,
    epochs: int | None = None,
    target_loss: float | None = None,
    target_accuracy: float | None = None,
    max_seconds: float | None = None,
    validation: float | tuple[ArrayLike, ...] | str | None = AUTO,
    patience: int | None = None,
    metric: str | Callable[[Any, Any], float] = "loss",
    l2: float = 0.0,
    dropout: float | Sequence[float] = 0.0,
    clip_norm: float | None = None,
    damping: float = DAMPING["damping"],
    damping_up: float = DAMPING["damping_up"],
    damping_down: float = DAMPING["damping_down"],
    damping_limit: float = DAMPING["damping_limit"],
    tolerance: float | None = None,
    sample_weight: ArrayLike | None = None,
    class_weight: Mapping[Any, float] | str | None = None,
    groups: ArrayLike | str | None = None,
    time: ArrayLike | str | None = None,
    scale: bool = True,
    encode: str | None = None,
    missing: Sequence[str] | None = None,
    init: Network | str | None = None,
    dtype: str | None = None,
    seed: int | None = None,
    threads: int | None = None,
    shuffle: bool = True,
    progress: bool | None = None,
    callback: Callable[[Epoch], object] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
) -> Network | Any:  # usually a Network, of a table an Ensemble: type checkers are not asked to tell them apart
    """
    Train a multilayer perceptron by backpropagation.

    Parameters
    ----------
    X : array-like or frame, shape (n, features)
        Numbers, one sample a row. Also a memory map, which may be larger than the memory: it is not copied as a whole;
        or a sparse matrix of SciPy, which never becomes dense: its columns are divided by their largest absolute value.
        Or a Dask array or dataframe, whose rows stay where they are: on the workers of the default client, or in
        threads of this process; see "Rows on several machines" in the guide.
    y : array-like, shape (n,) or (n, outputs)
        Numbers for regression, labels of any sortable type, or columns of 0 and 1; or the name of a column of X.
    quality : {"auto", "single", "fast", "default", "best"}
        How much is done for a good result. single: one run, just as the other options say. fast, default, best: two or
        more pilots, runs on most of the rows, find out on the others how many epochs suit; then one network, 4 to 8, or
        16 of different options learn from all rows for so long. The last two give an `Ensemble`. auto: default for a
        table, unless you pass an option of a single run (`epochs`, `target_loss`, `target_accuracy`, `patience`,
        `metric`, `init`, `callback`, `checkpoint`); otherwise single.
    task : {"auto", "regression", "classification", "multilabel"}
        auto: text, booleans, 0/1 and integers with few different values are classes (few: each twice on average, and
        at most 100); several columns of 0 and 1 are multilabel; everything else is regression.
    hidden : int or sequence of int, optional
        Units per hidden layer; ``()`` is the linear unit (lecture L4). By default 64; for a table (64, 64) for classes,
        and for numbers (128, 128), or (64, 64, 64) from 2500 rows on.
    activation : str or sequence of one per hidden layer
        ``"identity"``, ``"logistic"``, ``"tanh"``, ``"relu"``, ``"leaky_relu"``, ``"elu"``, ``"selu"``, ``"gelu"``,
        ``"silu"``, ``"mish"``, ``"softplus"``, ``"hard_sigmoid"`` or ``"exp"``; the formulas are in
        `fastbp.kernels.activation_forward`.
    output : str
        Output activation: any of these but gelu, silu and mish, or ``"softmax"``; auto: identity for regression (exp
        for poisson), one logistic unit for two classes and one per label for multilabel, softmax for several classes.
    loss : str or pair of functions
        Of the error e = yhat - y, summed over the outputs: ``"squared_error"`` 1/2 e^2 as in lecture L27,
        ``"absolute_error"`` abs(e), ``"huber"`` (a square up to `huber_delta`, then a line), ``"log_cosh"``,
        ``"quantile"`` (a fraction `quantile` of the targets lies below the output). ``"poisson"`` for counts (half the
        deviance); ``"log_loss"`` -sum y log yhat for classes and labels. auto: squared_error for regression, else
        log_loss. Or a custom loss: functions J(y, yhat) and dJ/dyhat(y, yhat) of one target and one output, which
        Numba can compile; before the run, the second is compared with finite differences of the first.
    quantile : float or increasing sequence of float
        Level of ``"quantile"`` between 0 and 1; of several levels the network gets an output each.
    huber_delta : float
        The error at which ``"huber"`` turns from a square into a line, in standard deviations of the targets where
        these are standardised.
    optimizer : str
        ``"adam"``, ``"sgd"``, ``"momentum"``, ``"nesterov"``, ``"adamw"``, ``"nadam"``, ``"rmsprop"``; ``"rprop"``,
        which takes all samples at once, unless `batch_size` says otherwise. Or one that takes all samples at once and
        the curvature into account, for networks of up to some thousand weights: ``"levenberg_marquardt"`` (``"lm"``),
        damped Gauss-Newton steps, for errors as small as the network allows; ``"bayesian"``, the same with a penalty
        on weights that it finds itself, for few or noisy samples, see `Network.predict_interval`; ``"bfgs"``; or
        ``"lbfgs"``, for any number of weights. An epoch is then a step, and ends the run once it has converged. "Which
        optimizer?" in the guide compares them.
    learning_rate : float, optional
        alpha; by default 0.001 for adam, adamw, nadam and rmsprop (up to 0.01 if layers have fewer than 64 units, 0.03
        without hidden layers), 0.01 for momentum, nesterov and rprop, 0.1 for sgd (0.5 for the lecture's squared error
        of logistic units); for a table two to four times the usual rate.
    schedule : {"constant", "cosine", "one_cycle"}, optional
        How the learning rate changes from update to update over all epochs: cosine falls to 0; one_cycle rises to the
        rate and falls. By default constant; cosine for a table, and for adam and its kin without hidden layers.
    warmup : float
        Epochs in which the rate rises from 0 in equal steps.
    batch_size : int, optional
        Samples per update; by default 32, more (up to 256) from 12 000 samples on; 64 for the numbers of a table from
        2500 rows on; for a Dask collection about n / 128, from 1024 to 16 384. 1 with sgd is the lecture's per-sample
        rule.
    epochs : int, optional
        Most passes over the training samples; by default 50, more (up to 3000) below 400 samples, fewer (down to 20)
        above 100 000; 500 for rprop, and 1000 steps of levenberg_marquardt, bayesian, bfgs and lbfgs; 100 for a table
        of 1000 rows, 20 from 5000 on. 0 gives a network with its first weights.
    target_loss, target_accuracy : float, optional
        Stop once the network, measured on its training samples after an epoch, is as good as this.
    max_seconds : float, optional
        Stop after the epoch in which this training time is reached. Of a quality, the time of all networks together:
        there will be as many, and as many epochs, as fit.
    validation : float, (Xv, yv), (Xv, yv, weights), None or "auto"
        Fraction of the samples to set aside (drawn at random, each class in proportion), or your own validation set,
        whose third part is the weight of each sample in the validation loss. The weights kept are then those of the
        epoch with the lowest validation loss, or the best `metric`. auto: for a single run on a table 0.15 (0.2 below
        500 rows), with a `patience` of 16; otherwise none. Of a quality, nothing is chosen on these samples: the result
        is measured on them at the end, and its ``options["validation_score"]`` has the `Network.score`.
    patience : int, optional
        Stop when the validation loss (or metric) has not improved for this many epochs.
    metric : {"loss", "score"} or callable
        What is measured on the validation set: its loss, `Network.score` (accuracy or R^2), or
        ``metric(y_true, y_pred)``, larger for better, of true and predicted targets (those of scikit-learn, for
        instance).
    l2 : float
        Weight of the penalty l2/2 sum w^2; for adamw, the decay of the weights.
    dropout : float or sequence of one per hidden layer
        Probability with which a unit is left out of a sample's pass in training; the others are scaled up.
    clip_norm : float, optional
        Greatest norm of the gradient of a batch; a longer one is shortened, its direction kept.
    damping, damping_up, damping_down, damping_limit : float
        Of levenberg_marquardt and bayesian. The damping of the first step; its factor after a step that fails, which
        doubles with each further one; by how much it is divided at most after one that brings what it promised; and
        where the run ends, as no step succeeds.
    tolerance : float, optional
        The run has converged when ten steps lowered the loss by less than this share, by default 1e-6; with bayesian,
        when a step did, and the number of effective parameters hardly changes, by default 1e-4. Only for the optimizers
        that take all samples at once.
    sample_weight : array-like, shape (n,), optional
        Weight of each sample, in the loss and in all that is learnt from the samples, such as means and medians; only
        ratios matter. A whole number stands for so many equal samples. One of weight 0 has no influence on anything, as
        if it were not there; its numbers need not even be finite.
    class_weight : dict of label to float, or "balanced", optional
        Weight of each class in the loss; balanced: inverse to its frequency. Samples of a class of weight 0 have no
        influence; it remains among the classes.
    groups : array-like, shape (n,), or str, optional
        Label of each sample's group, such as a patient, or the name of a column of X, which is then not learnt from. No
        group is divided when samples are set aside: for `validation`, and by the pilots of a quality. Without this, a
        network that knows the patients seems better than it is.
    time : array-like, shape (n,), or str, optional
        Time of each sample (numbers, dates or their text), or the name of a column of X, which is then not learnt from.
        The samples that are set aside are then the newest.
    scale : bool
        Standardise the inputs (and the targets of a regression with identity outputs). The network keeps the scaling
        and takes raw values.
    encode : {"standard", "piecewise", "auto"}, optional
        How numbers become inputs: as they are, or, too, piece by piece: the range of a column is cut into 6 to 16
        pieces that have about the same number of rows, and for each a further input tells how much of it lies below the
        number. Functions that bend often are learnt more easily so; without a validation set, noise is, too. By default
        piecewise for a table, and standard for an array. auto: piecewise for a table, and for an array of at least 500
        rows and at most 64 features, if there is a validation set and adam or its kin learns from standardised inputs.
        A memory map in pieces takes as much memory as its numbers in float64, twice; a Dask array has none.
    missing : sequence of str, optional
        Text that counts as missing in the columns of a table, such as ``("", "?")``; the network remembers it. By
        default empty text, and in files what `pandas.read_csv` takes for missing: NA, NaN, null, None and others. With
        ``("",)`` the country code NA of a file is a value.
    init : Network or {"glorot", "he", "uniform"}, optional
        Continue from a trained network (its layers and scaling are kept), or draw the weights by a rule, by default
        glorot. uniform: all in (-1, 1).
    dtype : {"float32", "float64"}, optional
        By default float32; float64 with the optimizers that take all samples at once.
    seed : int, optional
        Makes the run repeatable; if left out, it is drawn and recorded in ``net.options``.
    threads : int, optional
        Threads that large batches may use (the result has the same bits for any number); by default all. The workers
        of a Dask cluster have their own.
    shuffle : bool
        Take the samples in a new random order in each epoch.
    progress : bool, optional
        Progress bar on stderr; by default on a terminal once the run takes longer than a second.
    callback : callable, optional
        Called as ``callback(epoch)`` with a `fastbp.Epoch` after each epoch; returns True to stop.
    checkpoint : path, optional
        A new file in which the state of the run is kept, so that `fastbp.resume` can continue it after a crash or
        Ctrl-C. Each checkpoint replaces the last one as a whole. It is a model file, too: `fastbp.load` reads the
        network so far.
    checkpoint_every : int, optional
        Epochs between two checkpoints; by default as many as take ten seconds. The first is written before all epochs,
        the last at the end.

    Returns
    -------
    Network or Ensemble
        Frozen weights, with ``options``; a `Network` with ``history`` and ``stop_reason``, too. The options of a
        quality have the mean validation loss of the pilots in their best epochs, ``"pilot_loss"``: it flatters a
        little.

    Raises
    ------
    ValueError
        An invalid argument; the message names it, what was expected and what it got.
    FloatingPointError
        The first epoch diverged. A later one ends the run with a `DivergenceWarning`, and the network has the weights
        from before it.

    Notes
    -----
    Ctrl-C ends the run after the current epoch with a warning, and returns the network as trained so far; a second
    Ctrl-C does not wait for the end of the epoch.

    A table is a frame in memory or a file, of at least 50 rows. Its own defaults hold with adam and its kin and with
    ``scale=True``; "How the defaults were chosen" in the guide has the measurements. Predictions of numbers then stay
    within the range of the training targets, see `Network.target_range`. Pass ``quality="single"`` to watch one run of
    it, and ``quality="fast"`` for a `Network` that predicts in the least time.

    Equal data, options and seed give equal weights to the last bit, for any number of threads, on one machine with one
    version of fastbp, Numba and NumPy.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.train([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0], hidden=(8,), seed=1)
    >>> net.predict([[0, 1], [1, 1]])
    array([1, 0])
    """
    if callback is not None or checkpoint is not None:
        name = "a callback" if checkpoint is None else "a checkpoint"
        if quality not in (AUTO, SINGLE):
            raise ValueError(f"quality: expected 'single' with {name}, which is about one run, got {quality!r}")
        quality = SINGLE
    asked = {
        "quality": quality,
        "task": task,
        "hidden": hidden,
        "activation": activation,
        "output": output,
        "loss": loss,
        "quantile": quantile,
        "huber_delta": huber_delta,
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "schedule": schedule,
        "warmup": warmup,
        "batch_size": batch_size,
        "epochs": epochs,
        "target_loss": target_loss,
        "target_accuracy": target_accuracy,
        "max_seconds": max_seconds,
        "validation": validation,
        "patience": patience,
        "metric": metric,
        "l2": l2,
        "dropout": dropout,
        "clip_norm": clip_norm,
        "damping": damping,
        "damping_up": damping_up,
        "damping_down": damping_down,
        "damping_limit": damping_limit,
        "tolerance": tolerance,
        "sample_weight": sample_weight,
        "class_weight": class_weight,
        "groups": groups,
        "time": time,
        "scale": scale,
        "encode": encode,
        "missing": missing,
        "init": init,
        "dtype": dtype,
        "seed": secrets.randbits(32) if seed is None else checks.integer("seed", seed, 0),
        "shuffle": shuffle,
    }
    if checkpoint is not None and os.path.lexists(checkpoint):
        raise ValueError(
            f"checkpoint: expected a file that does not exist yet, got {checkpoint!r}; "
            "continue with fastbp.resume, or remove it"
        )
    writer = None if checkpoint is None else checkpoints.CheckpointWriter(checkpoint, checkpoint_every, asked)
    source = _source(X, threads)
    _check_callback(callback)
    run = prepare_run(X, y, asked, source)
    if run.asked["quality"] != SINGLE:
        return finished(run, compilation.thread_count(threads), progress)
    return run.train(progress, callback, writer)


# The options that determine the result, besides the data, and their defaults.
DEFAULTS: dict[str, Any] = {
    name: parameter.default
    for name, parameter in inspect.signature(train).parameters.items()
    if name not in ("X", "y", "threads", "progress", "callback", "checkpoint", "checkpoint_every")
}


def resume(
    path: str | os.PathLike[str],
    X: ArrayLike,
    y: ArrayLike,
    *,
    threads: int | None = None,
    progress: bool | None = None,
    callback: Callable[[Epoch], object] | None = None,
    checkpoint_every: int | None = None,
    **options: Any,
) -> Network:
    """
    Continue a run from its checkpoint, to the same end as without the interruption, bit for bit.

    Parameters
    ----------
    path : path
        The file that ``fastbp.train(..., checkpoint=path)`` has written. Further checkpoints replace it.
    X, y
        The same data: a digest of them is in the file.
    threads, progress, callback, checkpoint_every
        As in `fastbp.train`; they have no influence on the weights.
    **options
        Options of `fastbp.train`. The file holds them; pass again only what it cannot hold: your own ``validation``
        samples, ``sample_weight``, a ``class_weight`` by label, and functions (``loss``, ``metric``).

    Returns
    -------
    Network
        As `fastbp.train` would have returned it; at once, if the run was complete.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is not a checkpoint, or a damaged one; or the data or an option differ from those of the run, and the
        message names them.

    Warns
    -----
    RuntimeWarning
        The run was begun by another version of fastbp, or this processor has no fused multiply-add, or only this one
        has: the last bits may differ. Or the file is so old (of format 3) that dates in X cannot be compared with those
        of the run.

    Examples
    --------
    >>> import os, fastbp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> def run(path):
    ...     return fastbp.resume(path, X, y) if os.path.exists(path) else fastbp.train(X, y, seed=1, checkpoint=path)
    """
    start = checkpoints.read(path, list(DEFAULTS))
    asked = start.arguments(options)
    every = start.every if checkpoint_every is None else checkpoint_every
    writer = checkpoints.CheckpointWriter(path, every, asked)
    source = _source(X, threads)
    _check_callback(callback)
    return prepare_run(X, y, asked, source, start).train(progress, callback, writer)


def _source(X: Any, threads: Any) -> Source:
    """What reads the samples, and makes what learns from them."""
    if not checks.is_lazy(X):
        return MemorySource(threads)
    from ..data_parallel.learning import DaskSource  # takes 5 ms

    return DaskSource(threads)


def _check_callback(callback: Any) -> None:
    if callback is not None and not callable(callback):
        raise ValueError(f"callback: expected a function of one argument, got {callback!r}")
