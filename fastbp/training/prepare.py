"""What `train` and `resume` do: the data prepared, the run, the network frozen."""

from __future__ import annotations

import functools
import math
import numbers
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import checks, compilation, losses, options, tables
from ..data import samples, targets
from ..data.targets import targets_of
from ..model.network import Network
from ..options import Architecture
from ..tables import hints
from . import checkpoint, first_weights, loop, standing
from .source import Maker, Memory, Source
from .standing import Standing

DEFAULT_HIDDEN, DEFAULT_ACTIVATION = (64,), "relu"
Digests = Callable[[], Mapping[str, list[str]]]


class Keeper(standing.Keeper, Protocol):
    """Keeps where a run stands, and is told at the beginning what it may need for that."""

    def begin(self, digests: Digests, network: Callable[[Standing], Network]) -> None:
        """Take note of what gives the digest of each argument that holds data, and of what makes a network of where the run stands."""


class Begun(Protocol):
    """Where a run goes on."""

    def require_same(self, digests: Digests) -> None:
        """Raise ValueError where an argument that holds data is another."""

    def require_shape(self, net: Architecture) -> None:
        """Raise ValueError unless the options lead to the network that was begun."""

    def standing(self, first: Standing, columns: Sequence[str], epochs: int) -> Standing:
        """Where the run stands; `first` is where it would at the beginning."""


def designed(
    target: targets.Targets,
    inputs: int,
    n: int,
    watched: bool,
    *,
    hidden: Any,
    activation: Any,
    output: Any,
    loss: Any,
    quantile: Any,
    huber_delta: Any,
    init: Any,
    optimizer: Any,
    learning_rate: Any,
    schedule: Any,
    warmup: Any,
    batch_size: Any,
    epochs: Any,
    l2: Any,
    dropout: Any,
    clip_norm: Any,
    target_loss: Any,
    target_accuracy: Any,
    max_seconds: Any,
    patience: Any,
    metric: Any,
    scale: Any,
    shuffle: Any,
    dtype: Any,
    **others: Any,
) -> tuple[Architecture, options.Schedule]:
    """
    The network and the run that the options of `fastbp.train` ask for, all defaults filled in.

    Parameters
    ----------
    target : Targets
    inputs : int
        Inputs of the network.
    n : int
        Samples to learn from.
    watched : bool
        Whether there is a validation part.
    hidden, ..., others
        As in `fastbp.train`; the others have no say here.

    Raises
    ------
    ValueError
        An option that is not valid, or does not go with another.
    """
    checks.one_of("dtype", dtype, compilation.DTYPES)
    checks.boolean("scale", scale)
    checks.boolean("shuffle", shuffle)
    if not callable(metric):
        checks.one_of("metric", metric, ("loss", "score"))
    if metric != "loss" and not watched:
        raise ValueError(
            f"metric: expected 'loss' without a validation part, got {metric!r}; pass validation=0.1, for instance"
        )
    if isinstance(init, Network):
        net = _continued(init, inputs, hidden, activation, output, loss, quantile, huber_delta)
    else:
        net = options.architecture(
            inputs, target.outputs, target.task, hidden, activation, output, loss, quantile, huber_delta
        )
    if net.loss == "poisson" and target.values.min() < 0:
        raise ValueError(f"y: expected numbers of at least 0 for the loss 'poisson', got {target.values.min():g}")
    plan = options.schedule(
        n,
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
        validation=watched,
    )
    return net, plan


def warn_of_table(columns: tables.Columns, y: targets.Targets, training: NDArray[np.bool_]) -> None:
    """Say what the user should know about the table that `fastbp.train` was given."""
    said = [hints.left_out(columns)]
    if y.task == "regression":
        said += [hints.skewed(column) for column in y.values[training].T]
    for text in filter(None, said):
        warnings.warn(text, tables.TableWarning, stacklevel=5)


@dataclass(frozen=True)
class Task:
    """
    A run that can begin.

    Attributes
    ----------
    net, plan
        What to train, and how.
    learner : callable
        Makes a `Learner` of where the run stands, the plan and the seed.
    source : Source
        What has the samples.
    watched : bool
        Whether there are samples to watch.
    first : Standing
        Where the run begins.
    said : dict
        The options of the network, all defaults filled in.
    metric : callable or None
        See `loop.run`.
    digests : callable
        Gives the digest of each argument that holds data.
    network : callable
        Makes a network of weights; ``options``, if they are not `said`, and what the run adds to it.
    """

    net: Architecture
    plan: options.Schedule
    learner: Maker
    source: Source
    watched: bool
    first: Standing
    said: dict[str, Any]
    metric: Callable[[Any], float] | None
    digests: Digests
    network: Callable[..., Network]

    @property
    def training(self) -> samples.Ready:
        """Samples to learn from that are in this process."""
        assert isinstance(self.source, Memory)
        return self.source.training

    def varied(self, asked: Mapping[str, Any]) -> Task:
        """
        The run of other options, which differ by the seed, the learning rate and the penalty alone.

        Not where the seed has a say in the data: it draws a share for validation.
        """
        first, _, order = first_weights.random_streams(asked["seed"])
        params = first_weights.initial_parameters(self.net, asked["init"], first, self.first.params.dtype)
        optimizer, rate, l2 = self.plan.optimizer, asked["learning_rate"], float(asked["l2"])
        rate = options.default_learning_rate(optimizer, self.net) if rate is None else float(rate)
        plan, at = (
            replace(self.plan, learning_rate=rate, l2=l2),
            Standing.first(params, optimizer, order if asked["shuffle"] else None),
        )
        said = self.said | {"seed": int(asked["seed"]), "learning_rate": rate, "l2": l2}
        return replace(self, plan=plan, first=at, said=said, network=functools.partial(self.network, options=said))

    def chosen(self, at: Standing, compile_seconds: float = 0.0) -> Network:
        """The network that a run which stands here would return."""
        return self.network(
            at.chosen,
            history=at.history,
            best_epoch=at.best_epoch or len(at.rows),
            stop_reason=at.stop_reason,
            compile_seconds=compile_seconds,
            train_seconds=at.seconds,
        )


def learn(
    X: Any,
    y: Any,
    asked: Mapping[str, Any],
    *,
    source: Source,
    progress: Any,
    callback: Any,
    keeper: Keeper | None = None,
    begun: Begun | None = None,
    until: int | None = None,
) -> Network:
    """
    From the arguments of `fastbp.train` to the network: the data prepared, the run, the weights frozen.

    Parameters
    ----------
    X, y, progress, callback
        As in `fastbp.train`.
    asked : mapping
        All of its other options.
    source : Source
        Reads X and y, and gives who learns from them.
    keeper : Keeper or None
        Keeps where the run stands, in a file, for instance.
    begun : Begun or None
        Where the run goes on; None: from the start.
    until : int or None
        Epoch after which the run pauses: the network returned is unfinished.

    Returns
    -------
    Network
    """
    if callback is not None and not callable(callback):
        raise ValueError(f"callback: expected a function of one argument, got {callback!r}")
    return learnt(prepared(X, y, asked, source, begun), progress, callback, keeper, begun, until)


def learnt(
    task: Task,
    progress: Any,
    callback: Any = None,
    keeper: Keeper | None = None,
    begun: Begun | None = None,
    until: int | None = None,
) -> Network:
    """What `learn` does behind the preparation."""
    at, compile_seconds = task.first, 0.0
    try:
        if keeper is not None:
            keeper.begin(task.digests, task.chosen)
        if begun is not None:
            at = begun.standing(at, standing.columns(task.net, task.watched, task.metric is not None), task.plan.epochs)
        if at.stop_reason in ("unfinished", "interrupted"):
            compile_seconds = loop.run(
                task.learner(at, task.plan, task.said["seed"]), at, progress, callback, task.metric, keeper, until
            )
        return task.chosen(at, compile_seconds)
    finally:
        task.source.close()


def prepared(X: Any, y: Any, asked: Mapping[str, Any], source: Source, begun: Begun | None = None) -> Task:
    """What `learn` does before the run."""
    task, scale, dtype, init, shuffle = (asked[name] for name in ("task", "scale", "dtype", "init", "shuffle"))
    metric, sample_weight, class_weight = (asked[name] for name in ("metric", "sample_weight", "class_weight"))
    validation, own = asked["validation"], isinstance(asked["validation"], tuple | list)
    validation = (*validation[:1], *map(source.gathered, validation[1:])) if own else validation
    table, y, names = source.read_table(X, y)
    n = len(table)
    seed = checks.integer("seed", asked["seed"], 0)
    init_random, split_random, order_random = first_weights.random_streams(seed)

    start = init if isinstance(init, Network) else None
    target = targets.read(y, task, n) if start is None else targets_of(start, y, task, n)
    held = samples.held_rows(target, validation, split_random)
    inputs, columns = source.read_inputs(table, names, ~held, start)
    if start is None and columns is not None:
        warn_of_table(columns, target, ~held)
    weight = samples.sample_weights(n, source.gathered(sample_weight), class_weight, target)
    parts = samples.split(samples.Rows(inputs, target, weight), held, validation, columns, source.read_others)
    count, watched = len(parts.train), parts.validation is not None
    net, plan = designed(
        target, inputs.shape[1], count, watched, **{**asked, "batch_size": source.batch_size(count, asked)}
    )
    kind = np.dtype(dtype)
    source.settle(parts, net, plan, kind)
    digests = functools.cache(functools.partial(_digests, source, target, weight, parts.validation if own else None))
    if begun is not None:
        begun.require_same(digests)
        begun.require_shape(net)
    scaling = (
        samples.Scaling.of(start) if start else samples.Scaling.fit(source.moments, parts.train.y, net, scale, columns)
    )
    learner = source.learner(net, scaling, kind, metric != "loss")
    params = start.params.astype(kind) if start else first_weights.initial_parameters(net, init, init_random, kind)
    if net.own_loss is not None:
        losses.check_derivative(net.own_loss, scaling.targets(parts.train.y, net, kind), net.activations[-1])
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
        "threads": source.threads,
        "shuffle": shuffle,
        "samples": count,
    }

    def network(weights: Any, options: Mapping[str, Any] = said, **run: Any) -> Network:
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
            options=dict(options),
            examples=source.examples() if run else None,
            **run,
        )

    first = Standing.first(params, plan.optimizer, order_random if shuffle else None)
    measure = _metric(metric, source, parts.validation, network)
    return Task(net, plan, learner, source, watched, first, said, measure, digests, network)


def _digests(source: Source, target: targets.Targets, weight: Any, own: samples.Rows | None) -> dict[str, list[str]]:
    """Digest of each argument that holds data."""
    y = [target.values, *([] if target.classes is None else [target.classes])]
    found = {"X": source.digest(False), "y": checkpoint.digest(y), "sample_weight": checkpoint.digest([weight])}
    return found if own is None else found | {"validation": source.digest(True, own.y.values, own.weight)}


def _metric(
    metric: Any, source: Source, held_out: samples.Rows | None, network: Callable[[Any], Network]
) -> Callable[[Any], float] | None:
    """The metric as a function of the weights; None where the validation loss decides."""
    if metric == "loss" or held_out is None:
        return None
    y = held_out.y
    known = y.values if y.classes is None else y.classes[y.values]
    known = known[:, 0] if y.classes is None and y.single else known

    def measure(weights: Any) -> float:
        net = network(weights)
        predicted = source.predicted(net)
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
        raise ValueError(
            f"loss: expected the two functions that the network given as init was trained on, got {loss!r}; it keeps none"
        )
    level, delta = losses.parameters("quantile", quantile, None), losses.parameters("huber", None, huber_delta)
    said: list[tuple[str, Any, Any, Any]] = [
        ("hidden", options.hidden_units(hidden), DEFAULT_HIDDEN, start.sizes[1:-1]),
        (
            "activation",
            options.hidden_activations(activation, layers),
            (DEFAULT_ACTIVATION,) * layers,
            start.layer_activations[:-1],
        ),
        ("output", output, "auto", start.layer_activations[-1]),
        ("loss", "auto" if own else loss, "auto", start.loss),
        ("quantile", level, (losses.LEVEL,), start.loss_parameter if start.loss == "quantile" else None),
        ("huber_delta", delta, (losses.DELTA,), start.loss_parameter if start.loss == "huber" else None),
    ]
    for name, value, default, kept in said:
        if value not in (default, kept):
            raise ValueError(f"{name}: expected {kept!r}, as in the network given as init, got {value!r}; leave it out")
    return replace(start.architecture, own_loss=losses.functions_of(loss) if own else None)
