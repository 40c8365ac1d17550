"""`train`, the front door: reads what the user says, prepares the data, runs the epochs, freezes the network."""

from __future__ import annotations

import math
import numbers
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import checks, compilation, data, fit, losses, memory, options, targets
from .network import Network
from .options import Architecture

_DEFAULT_HIDDEN, _DEFAULT_ACTIVATION = (64,), "relu"


def train(
    X: ArrayLike,
    y: ArrayLike,
    *,
    task: str = "auto",
    hidden: int | Sequence[int] = _DEFAULT_HIDDEN,
    activation: str | Sequence[str] = _DEFAULT_ACTIVATION,
    output: str = "auto",
    loss: str | tuple[Callable[[float, float], float], Callable[[float, float], float]] = "auto",
    quantile: float | Sequence[float] = losses.LEVEL,
    huber_delta: float = losses.DELTA,
    optimizer: str = "adam",
    learning_rate: float | None = None,
    schedule: str = "constant",
    warmup: float = 0,
    batch_size: int | None = None,
    epochs: int | None = None,
    target_loss: float | None = None,
    target_accuracy: float | None = None,
    max_seconds: float | None = None,
    validation: float | tuple[ArrayLike, ArrayLike] | None = None,
    patience: int | None = None,
    metric: str | Callable[[Any, Any], float] = "loss",
    l2: float = 0.0,
    dropout: float | Sequence[float] = 0.0,
    clip_norm: float | None = None,
    sample_weight: ArrayLike | None = None,
    class_weight: Mapping[Any, float] | str | None = None,
    scale: bool = True,
    init: Network | str | None = None,
    dtype: str = "float32",
    seed: int | None = None,
    threads: int | None = None,
    shuffle: bool = True,
    progress: bool | None = None,
    callback: Callable[[fit.Epoch], object] | None = None,
) -> Network:
    """
    Train a multilayer perceptron by backpropagation.

    Parameters
    ----------
    X : array-like or frame, shape (n, features)
        Numbers, one sample a row.
    y : array-like, shape (n,) or (n, outputs)
        Numbers to regress on, labels of any sortable type, or 0/1 columns.
    task : {"auto", "regression", "classification", "multilabel"}
        auto: text, booleans, 0/1 and integers with few different values are classes (few: each twice on average, and at
        most 100); several columns of 0 and 1 are multilabel; all else is regression.
    hidden : int or sequence of int
        Units per hidden layer; ``()`` is the linear unit (lecture L4).
    activation : str or sequence of one per hidden layer
        ``"identity"``, ``"logistic"``, ``"tanh"``, ``"relu"``, ``"leaky_relu"``, ``"elu"``, ``"selu"``, ``"gelu"``, ``"silu"``,
        ``"mish"``, ``"softplus"``, ``"hard_sigmoid"`` or ``"exp"``; formulas: `fastbp.kernels.activation_forward`.
    output : str
        Output activation: any of these but gelu, silu and mish, or ``"softmax"``; auto: identity for regression (exp for poisson),
        one logistic unit for two classes and one per label for multilabel, softmax for several classes.
    loss : str or pair of functions
        In terms of the error e = yhat - y, summed over the outputs: ``"squared_error"`` 1/2 e^2 as in lecture L27,
        ``"absolute_error"`` abs(e), ``"huber"`` (a square up to `huber_delta`, then a line), ``"log_cosh"``, ``"quantile"`` (so that
        a share `quantile` of the targets lies below), ``"poisson"`` for counts (half the deviance); ``"log_loss"``
        -sum y log yhat for classes and labels. auto: squared_error for regression, else log_loss. Or a loss of your own:
        functions of one target and one output, J(y, yhat) and dJ/dyhat(y, yhat), that Numba can compile; the second is compared
        with finite differences of the first before the run.
    quantile : float or increasing sequence of float
        Level of ``"quantile"`` between 0 and 1; of several levels the network gets an output each.
    huber_delta : float
        The error at which ``"huber"`` turns from a square into a line, in standard deviations of the targets where these are
        standardised.
    optimizer : {"adam", "sgd", "momentum", "nesterov", "adamw", "nadam", "rmsprop", "rprop"}
        rprop takes all samples at once, unless `batch_size` says otherwise.
    learning_rate : float, optional
        alpha; by default 0.001 for adam, adamw, nadam and rmsprop (up to 0.01 where layers have fewer than 64 units), 0.01 for momentum,
        nesterov and rprop, 0.1 for sgd (0.5 for the lecture's squared error of logistic units).
    schedule : {"constant", "cosine", "one_cycle"}
        How the learning rate changes from update to update over all epochs: cosine falls to 0; one_cycle rises to it and falls.
    warmup : float
        Epochs in which the rate rises from 0 in equal steps.
    batch_size : int, optional
        Samples per update; by default 32, more (up to 256) from 12 000 samples on. 1 with sgd is the lecture's
        per-sample rule.
    epochs : int, optional
        Passes over the training samples at most; by default 50, more (up to 3000) below 400 samples, fewer (down to 20)
        above 100 000; 500 for rprop. 0 gives a network with its first weights.
    target_loss, target_accuracy : float, optional
        Stop once the network, measured on its training samples after an epoch, is as good as this.
    max_seconds : float, optional
        Stop after the epoch in which this training time is reached.
    validation : float, (Xv, yv) or (Xv, yv, weights), optional
        Share of the samples to set aside (drawn at random, each class in proportion), or samples of your own, as a third the
        weight of each in the validation loss. The
        weights kept are then those of the epoch with the lowest validation loss, or the best `metric`.
    patience : int, optional
        Stop when the validation loss (or metric) has not got better for this many epochs.
    metric : {"loss", "score"} or callable
        What decides on the validation part: its loss, `Network.score` (accuracy or R^2), or ``metric(y_true, y_pred)``, larger
        for better, of targets as given and as predicted (those of scikit-learn, for instance).
    l2 : float
        Weight of the penalty l2/2 sum w^2; for adamw of the decay of the weights.
    dropout : float or sequence of one per hidden layer
        Probability with which a unit is left out of a sample's pass in training; the others then count for more.
    clip_norm : float, optional
        Largest length of the gradient of a batch; a longer one is cut, its direction kept.
    sample_weight : array-like, shape (n,), optional
        Weight of each sample in the loss; only ratios matter.
    class_weight : dict of label to float, or "balanced", optional
        Weight of each class in the loss; balanced: inverse to its frequency.
    scale : bool
        Standardise the inputs (and the targets of a regression with identity outputs). Kept inside the network, which
        takes raw values.
    init : Network or {"glorot", "he", "uniform"}, optional
        Go on from a trained network (its layers and scaling are kept), or draw the weights by a rule, by default glorot.
        uniform: all in (-1, 1).
    dtype : {"float32", "float64"}
    seed : int, optional
        Makes the run repeatable; drawn and recorded in ``net.options`` if left out.
    threads : int, optional
        Threads that large batches may use (the result has the same bits for any number); by default all.
    shuffle : bool
        Take the samples in a new random order in each epoch.
    progress : bool, optional
        Progress bar on stderr; by default on a terminal once the run takes longer than a second.
    callback : callable, optional
        Called as ``callback(epoch)`` with a `fastbp.Epoch` after each epoch; returns True to stop.

    Returns
    -------
    Network
        Frozen weights, with ``history``, ``stop_reason`` and ``options``.

    Raises
    ------
    ValueError
        An argument that cannot be used; the message names it, what was expected and what came.
    FloatingPointError
        The first epoch diverged. A later one ends the run with a `DivergenceWarning`, and the weights from before
        it are returned.

    Notes
    -----
    Ctrl-C ends the run after the epoch at hand with a warning, and returns the network as trained so far.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.train([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0], hidden=(8,), seed=1)
    >>> net.predict([[0, 1], [1, 1]])
    array([1, 0])
    """
    table, y, names = data.read_table(X, y)
    n = len(table)
    if n == 0:
        raise ValueError(f"X: expected at least one sample, got shape {table.shape}")
    checks.one_of("dtype", dtype, compilation.DTYPES)
    kind = np.dtype(dtype)
    checks.boolean("scale", scale)
    checks.boolean("shuffle", shuffle)
    if callback is not None and not callable(callback):
        raise ValueError(f"callback: expected a function of one argument, got {callback!r}")
    workers = fit.thread_count(threads)
    seed = secrets.randbits(32) if seed is None else checks.integer("seed", seed, 0)
    init_random, split_random, order_random = data.random_streams(seed)

    start = init if isinstance(init, Network) else None
    target = targets.read(y, task, n) if start is None else data.targets_of(start, y, task, n)
    held = data.held_rows(target, validation, split_random)
    given = data.read_inputs(table, names, ~held, start)
    inputs, columns = given.inputs, given.columns
    if start is None:
        if columns is not None:
            data.warn_of_table(columns, target, ~held)
        net = options.architecture(inputs.shape[1], target.outputs, target.task, hidden, activation, output, loss, quantile, huber_delta)
    else:
        net = _continued(start, inputs.shape[1], hidden, activation, output, loss, quantile, huber_delta)
    weight = data.sample_weights(n, sample_weight, class_weight, target)
    parts = data.split(data.Rows(inputs, target, weight), held, validation, columns)
    plan = options.schedule(
        len(parts.train),
        net,
        optimizer=optimizer,
        learning_rate=learning_rate,
        schedule=schedule,
        warmup=warmup,
        batch_size=batch_size,
        epochs=epochs,
        l2=l2,
        dropout=dropout,
        clip_norm=clip_norm,
        target_loss=target_loss,
        target_accuracy=target_accuracy,
        max_seconds=max_seconds,
        patience=patience,
        validation=parts.validation is not None,
    )
    memory.require_training(net, plan, len(parts.train), kind)
    scaling = data.Scaling.of(start) if start else data.Scaling.fit(parts.train, net, scale, columns)
    training = scaling.apply(parts.train, net, kind)
    held_out = None if parts.validation is None else scaling.apply(parts.validation, net, kind)
    params = start.params.astype(kind) if start else data.initial_parameters(net, init, init_random, kind)  # type: ignore[arg-type]
    if net.loss == "poisson" and target.values.min() < 0:
        raise ValueError(f"y: expected numbers of at least 0 for the loss 'poisson', got {target.values.min():g}")
    if net.own_loss is not None:
        losses.check_derivative(net.own_loss, training.Y, net.activations[-1])
    said = {
        "task": net.task,
        "hidden": list(net.sizes[1:-1]),
        "activation": list(net.activations[:-1]),
        "output": net.activations[-1],
        "loss": net.loss,
        "quantile": list(net.loss_parameter) if net.loss == "quantile" else None,
        "huber_delta": net.loss_parameter[0] if net.loss == "huber" else None,
        **asdict(plan),
        "dropout": list(plan.dropout),
        "validation": float(validation) if isinstance(validation, float) else None if validation is None else "given",
        "metric": metric if isinstance(metric, str) else "given",
        "sample_weight": None if sample_weight is None else "given",
        "class_weight": None if class_weight is None else class_weight if isinstance(class_weight, str) else "given",
        "scale": scale,
        "init": "network" if start else init,
        "dtype": dtype,
        "seed": seed,
        "threads": workers,
        "shuffle": shuffle,
        "samples": len(parts.train),
    }

    def network(weights: Any, **run: Any) -> Network:
        return Network(
            task=net.task,
            sizes=net.sizes,
            layer_activations=net.activations,
            loss=net.loss,
            loss_parameter=net.loss_parameter,
            params=weights,
            x_mean=scaling.x_mean,
            x_scale=scaling.x_scale,
            y_mean=scaling.y_mean,
            y_scale=scaling.y_scale,
            classes=target.classes,
            single_output=target.single and len(net.loss_parameter) < 2,
            columns=columns,
            options=said,
            **run,
        )

    watched = _metric(metric, parts.validation, network)
    random = order_random if shuffle else None
    result = fit.run(net, plan, training, held_out, params, random, seed, workers, progress, callback, watched)
    return network(
        result.params,
        examples=given.examples(~held),
        history=result.history,
        best_epoch=result.best_epoch,
        stop_reason=result.stop_reason,
        compile_seconds=result.compile_seconds,
        train_seconds=result.train_seconds,
    )


def _metric(metric: Any, held_out: data.Rows | None, network: Callable[[Any], Network]) -> Callable[[Any], float] | None:
    """The metric as a function of the weights; None where the validation loss decides."""
    if not callable(metric):
        checks.one_of("metric", metric, ("loss", "score"))
    if metric == "loss":
        return None
    if held_out is None:
        raise ValueError(f"metric: expected 'loss' without a validation part, got {metric!r}; pass validation=0.1, for instance")
    y = held_out.y
    known = y.values if y.classes is None else y.classes[y.values]
    known = known[:, 0] if y.classes is None and y.single else known

    def measure(weights: Any) -> float:
        net = network(weights)
        predicted = held_out.predicted(net)
        value = net._score_of(predicted, known) if metric == "score" else metric(known, predicted)
        if not isinstance(value, numbers.Real) or math.isnan(value):
            raise ValueError(f"metric: expected a number from metric(y_true, y_pred), got {value!r}")
        return float(value)

    return measure


def _continued(
    start: Network, inputs: int, hidden: Any, activation: Any, output: str, loss: Any, quantile: Any, huber_delta: Any
) -> Architecture:
    """The architecture of `start`; what the user says beside it must agree."""
    if inputs != start.sizes[0]:
        raise ValueError(f"X: expected the {start.sizes[0]} features of the network given as init, got {inputs}")
    layers = len(start.sizes) - 2
    own = start.loss == losses.OWN
    if own and isinstance(loss, str):
        raise ValueError(f"loss: expected the two functions that the network given as init was trained on, got {loss!r}; it keeps none")
    level, delta = losses.parameters("quantile", quantile, None), losses.parameters("huber", None, huber_delta)
    said: list[tuple[str, Any, Any, Any]] = [
        ("hidden", options.hidden_units(hidden), _DEFAULT_HIDDEN, start.sizes[1:-1]),
        ("activation", options.hidden_activations(activation, layers), (_DEFAULT_ACTIVATION,) * layers, start.layer_activations[:-1]),
        ("output", output, "auto", start.layer_activations[-1]),
        ("loss", "auto" if own else loss, "auto", start.loss),
        ("quantile", level, (losses.LEVEL,), start.loss_parameter if start.loss == "quantile" else None),
        ("huber_delta", delta, (losses.DELTA,), start.loss_parameter if start.loss == "huber" else None),
    ]
    for name, value, default, kept in said:
        if value not in (default, kept):
            raise ValueError(f"{name}: expected {kept!r}, as in the network given as init, got {value!r}; leave it out")
    return replace(start.architecture, own_loss=losses.functions_of(loss) if own else None)
