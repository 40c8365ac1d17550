"""What comes before and after the loop over epochs: samples and options become a run, and its weights a network."""

from __future__ import annotations

import contextlib
import functools
import math
import numbers
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks, losses, tables
from ..data import division, reading, samples, targets
from ..data.division import Division, held_out_rows
from ..data.sparse import SparseRows
from ..data.targets import Targets, targets_of
from ..model.network import Network
from ..model.posterior import Posterior
from ..options import Architecture, Hyperparameters, default_learning_rate
from ..runtime.warning import warn
from ..second_order.learner import SecondOrderLearner
from ..tables import hints
from . import checkpoint, first_weights, loop
from .defaults import AUTO, SINGLE, filled
from .design import design
from .source import LearnerFactory, MemorySource, Source
from .state import Checkpointer, Digests, Epoch, StartingPoint, TrainingState, history_columns
from .target_range import target_range


@dataclass(frozen=True)
class Run:
    """
    A run that is ready to begin.

    Attributes
    ----------
    net, hyper
        What to train, and how.
    learner : callable
        Makes a `Learner` of the state, the hyperparameters and the seed.
    source : Source
        Has the samples.
    validates : bool
        Whether there is a validation set.
    initial : TrainingState
        The state before the first epoch.
    recorded : dict
        The options of the network, with all defaults filled in.
    metric : callable or None
        See `loop.run`.
    digests : callable
        Computes the digest of each argument that holds data.
    network : callable
        Makes a network of weights, ``options`` (by default `recorded`) and the results of the run.
    start : StartingPoint or None
        The earlier run to continue; None: begin anew.
    asked : dict
        The options of the user, with defaults for what depends on X: see `defaults.filled`.
    target : Targets
        Of the training samples.
    maker : callable
        Makes `network` of another architecture and its options.
    division : Division
        Of the training samples.
    """

    net: Architecture
    hyper: Hyperparameters
    learner: LearnerFactory
    source: Source
    validates: bool
    initial: TrainingState
    recorded: dict[str, Any]
    metric: loop.Metric | None
    digests: Digests
    network: Callable[..., Network]
    start: StartingPoint | None
    asked: dict[str, Any]
    target: Targets
    maker: Callable[[Architecture, Mapping[str, Any]], Callable[..., Network]]
    division: Division

    @property
    def memory(self) -> MemorySource:
        """The source of samples that are in this process."""
        assert isinstance(self.source, MemorySource)
        return self.source

    @property
    def training(self) -> samples.Ready:
        """Training samples that are in this process."""
        return self.memory.training

    def held_out(self, share: float, seed: int) -> NDArray[np.bool_]:
        """Training samples, about this share of them, that choose the number of epochs of a pilot with this seed."""
        return held_out_rows(self.target, share, first_weights.random_streams(seed)[1], self.division)

    def variant(self, asked: Mapping[str, Any]) -> Run:
        """
        The run for options that differ only in the seed, the learning rate and the penalty.

        Not if the seed determines the data, that is, draws a fraction for validation.
        """
        optimizer, rate, l2 = self.hyper.optimizer, asked["learning_rate"], float(asked["l2"])
        rate = default_learning_rate(optimizer, self.net, self.asked["rate_factor"]) if rate is None else float(rate)
        recorded = self.recorded | {"seed": int(asked["seed"]), "learning_rate": rate, "l2": l2}
        return replace(
            self,
            hyper=replace(self.hyper, learning_rate=rate, l2=l2),
            initial=self._initial(self.net, asked),
            recorded=recorded,
            network=functools.partial(self.network, options=recorded),
        )

    def member(self, options: Mapping[str, Any], held_out: NDArray[np.bool_] | None = None) -> Run:
        """
        A run on one thread over the same samples, as they were read, encoded and standardised for this one.

        Parameters
        ----------
        options : mapping
            Those of `asked` that differ; not ones that determine the samples.
        held_out : bool array, shape (n,), or None
            Samples that choose the best epoch, and are not trained on.
        """
        asked, samples, validation = {**self.asked, **options}, self.training, None
        if held_out is not None:
            samples, validation = (samples.take(np.flatnonzero(rows)) for rows in (~held_out, held_out))
        net, hyper = design(self.target, self.net.sizes[0], len(samples.X), held_out is not None, asked)
        recorded = _recorded(net, hyper, asked, asked["seed"], 1, len(samples.X))
        return replace(
            self,
            net=net,
            hyper=hyper,
            learner=self.memory.learner_of(net, samples, validation, 1),
            validates=held_out is not None,
            initial=self._initial(net, asked),
            recorded=recorded,
            network=self.maker(net, recorded),
            asked=asked,
        )

    def _initial(self, net: Architecture, asked: Mapping[str, Any]) -> TrainingState:
        """The state before the first epoch of a run with these options."""
        first, _, order = first_weights.random_streams(asked["seed"])
        params = first_weights.initial_parameters(net, asked["init"], first, self.initial.params.dtype)
        return first_weights.first_state(net, self.hyper, params, order if asked["shuffle"] else None)

    def result(self, state: TrainingState, compile_seconds: float = 0.0, posterior: Posterior | None = None) -> Network:
        """The network of a run that ends in this state."""
        return self.network(
            state.final_params,
            history=state.history,
            best_epoch=state.best_epoch or len(state.rows),
            stop_reason=state.stop_reason,
            compile_seconds=compile_seconds,
            train_seconds=state.seconds,
            posterior=posterior,
        )

    def train(
        self,
        progress: bool | None = False,
        callback: Callable[[Epoch], object] | None = None,
        checkpointer: Checkpointer | None = None,
        until: int | None = None,
    ) -> Network:
        """
        Train, and freeze the weights.

        Parameters
        ----------
        progress, callback
            As in `fastbp.train`.
        checkpointer : Checkpointer or None
            Keeps the state of the run, in a file, for instance.
        until : int or None
            Epoch after which the run pauses: the network returned is unfinished.

        Returns
        -------
        Network
        """
        state, compile_seconds, posterior = self.initial, 0.0, None
        try:
            if checkpointer is not None:
                checkpointer.begin(self.digests, self.result)
            if self.start is not None:
                columns = history_columns(self.net, self.hyper.optimizer, self.validates, self.metric is not None)
                state = self.start.state(state, columns, self.hyper.epochs)
            unfinished = state.stop_reason in ("unfinished", "interrupted")
            if unfinished or self.hyper.optimizer == "bayesian":  # has the posterior of a complete run, too
                learner = self.learner(state, self.hyper, self.recorded["seed"])
                if unfinished:
                    compile_seconds = loop.run(
                        learner, state, progress, callback, self.metric, checkpointer, until, bool(self.asked["scale"])
                    )
                posterior = _posterior_of(learner)
            return self.result(state, compile_seconds, posterior)
        finally:
            self.source.close()


def prepare_run(X: Any, y: Any, asked: Mapping[str, Any], source: Source, start: StartingPoint | None = None) -> Run:
    """
    Read samples and options, check them, and make a run of them.

    Parameters
    ----------
    X, y
        As in `fastbp.train`.
    asked : mapping
        All options of `fastbp.train`.
    source : Source
        Reads X and y.
    start : StartingPoint or None
        The earlier run to continue.

    Returns
    -------
    Run
    """
    init, metric, validation = (asked[name] for name in ("init", "metric", "validation"))
    separate = isinstance(validation, tuple | list)  # the user's own validation samples
    validation = (*validation[:1], *map(source.gather, validation[1:])) if separate else validation
    given = y
    gathered = {name: source.gather(asked[name]) for name in ("sample_weight", "groups", "time")}
    table = source.read_table(X, y, {**asked, **gathered})
    n, y = len(table), table.y
    seed = checks.integer("seed", asked["seed"], 0)
    init_random, split_random, order_random = first_weights.random_streams(seed)

    network = init if isinstance(init, Network) else None
    task = asked["task"]
    with _naming_column(given):
        target = targets.read(y, task, n) if network is None else targets_of(network, y, task, n)
    in_memory = isinstance(source, MemorySource)
    table, target, weight = reading.weighted(table, target, asked["class_weight"])
    n = len(table)
    features = table.X.shape[1] if table.names is None else None
    parting = table.division
    if isinstance(table.X, SparseRows) and asked["encode"] == AUTO:
        asked = {**asked, "encode": "standard"}
    asked = filled({**asked, "validation": validation}, features, in_memory, target, n)
    asked |= {} if start is None else start.settled
    validation = asked["validation"]
    if not in_memory:
        _require_no_pieces(asked["encode"], table.names, network)
    held_out = held_out_rows(target, validation, split_random, parting)
    division.require_use(parting, bool(held_out.any()), asked["quality"] != SINGLE)
    places = np.flatnonzero(~held_out)
    training = places if table.rows is None else table.rows[places], samples.unequal(weight[places])
    so_far = None if start is None else start.network
    begun = network if so_far is None else so_far  # its columns and its scaling are kept
    inputs, columns = source.read_inputs(table, training, begun, asked["encode"] == "piecewise")
    if begun is None and columns is not None and columns.named:
        _warn_of_table(columns, target.take(places), training[1])
    rows = samples.Rows(inputs, target, weight, table.rows)
    parts = samples.split(rows, held_out, validation, columns, source.read_validation)
    count, validates = len(parts.train), parts.validation is not None
    batch_size = source.batch_size(count, asked)
    net, hyper = design(target, inputs.shape[1], count, validates, {**asked, "batch_size": batch_size})
    kind = np.dtype(asked["dtype"])
    source.place(parts, net, hyper, kind)
    separate_part = parts.validation if separate else None
    digests = functools.cache(functools.partial(_digests, source, target, weight, parting, separate_part))
    if start is not None:
        start.require_same(digests)
        start.require_shape(net)
    if network is None:
        params = first_weights.initial_parameters(net, init, init_random, kind)
    else:
        params = network.params.astype(kind)
    if begun is None:
        scaling = samples.Scaling.fit(source.moments, parts.train, net, asked["scale"], columns)
    else:
        scaling = samples.Scaling.of(begun)
    learner = source.learner(net, scaling, kind, metric != "loss")
    if net.custom_loss is not None:
        losses.check_derivative(net.custom_loss, scaling.targets(parts.train.y, net, kind), net.activations[-1])
    recorded = _recorded(net, hyper, asked, seed, source.threads, count)
    limits = target_range(parts.train.y, net, network, asked["within_range"]) if so_far is None else so_far.target_range
    maker = functools.partial(_network_maker, scaling, target, columns, source, limits)
    make = maker(net, recorded)
    initial = first_weights.first_state(net, hyper, params, order_random if asked["shuffle"] else None)
    measure = _metric(metric, source, parts.validation, make)
    known = parts.train.y
    return Run(
        net,
        hyper,
        learner,
        source,
        validates,
        initial,
        recorded,
        measure,
        digests,
        make,
        start,
        asked,
        known,
        maker,
        parting.take(places),
    )


def _posterior_of(learner: Any) -> Posterior | None:
    """The posterior of the weights, if the optimizer has one."""
    if not isinstance(learner, SecondOrderLearner):
        return None
    found = learner.posterior()
    return None if found is None else Posterior.of(*found)


@contextlib.contextmanager
def _naming_column(y: Any) -> Iterator[None]:
    """Let errors about y name its column, if y is its name."""
    try:
        yield
    except ValueError as error:
        if not isinstance(y, str) or not str(error).startswith("y: "):
            raise
        raise ValueError(f"y: column {y!r}: {str(error).removeprefix('y: ')}") from None


def _require_no_pieces(encode: Any, names: tuple[str, ...] | None, start: Network | None) -> None:
    """Raise ValueError if a Dask array would have to be encoded piece by piece."""
    if start is None and names is None and encode == "piecewise":
        raise ValueError("encode: expected 'standard' for a dask array, got 'piecewise'; pass a dask dataframe")
    if start is not None and start.columns is not None and not start.columns.named:
        raise ValueError(
            "init: expected a network that takes the numbers of an array as they are, for a dask collection, "
            "got one that encodes them piece by piece"
        )


def _warn_of_table(columns: tables.Columns, y: Targets, weight: NDArray[np.float64] | None) -> None:
    """Warn of what looks wrong in the training rows of the table."""
    texts = [("left out", hints.left_out(columns)), ("unread", hints.unread(columns))]
    if y.task == "regression":
        texts += [(f"target {k}", hints.skewed(column, weight)) for k, column in enumerate(y.values.T)]
    for about, text in texts:
        if text is not None:
            warn(text, tables.TableWarning, about)


def _recorded(
    net: Architecture, hyper: Hyperparameters, asked: Mapping[str, Any], seed: int, threads: int, count: int
) -> dict[str, Any]:
    """The options as the network records them: defaults filled in, "given" for what no file can hold."""
    validation, class_weight = asked["validation"], asked["class_weight"]
    return {
        "task": net.task,
        "hidden": list(net.sizes[1:-1]),
        "activation": list(net.activations[:-1]),
        "output": net.activations[-1],
        "loss": net.loss,
        "quantile": list(net.loss_parameter) if net.loss == "quantile" else None,
        "huber_delta": net.loss_parameter[0] if net.loss == "huber" else None,
        **asdict(hyper),
        "dropout": list(hyper.dropout),
        "validation": float(validation) if isinstance(validation, float) else None if validation is None else "given",
        "metric": asked["metric"] if isinstance(asked["metric"], str) else "given",
        "sample_weight": None if asked["sample_weight"] is None else "given",
        "groups": None if asked["groups"] is None else "given",
        "time": None if asked["time"] is None else "given",
        "class_weight": class_weight if class_weight is None or isinstance(class_weight, str) else "given",
        "scale": asked["scale"],
        "encode": asked["encode"],
        "missing": None if asked["missing"] is None else list(asked["missing"]),
        "init": "network" if isinstance(asked["init"], Network) else asked["init"],
        "dtype": asked["dtype"],
        "seed": seed,
        "threads": threads,
        "shuffle": asked["shuffle"],
        "samples": count,
    }


def _network_maker(
    scaling: samples.Scaling,
    target: Targets,
    columns: tables.Columns | None,
    source: Source,
    target_range: NDArray[np.float64] | None,
    net: Architecture,
    recorded: Mapping[str, Any],
) -> Callable[..., Network]:
    """See `Run.network`."""

    def network(weights: Any, options: Mapping[str, Any] = recorded, **results: Any) -> Network:
        return Network(
            task=net.task,
            sizes=net.sizes,
            layer_activations=net.activations,
            loss=net.loss,
            loss_parameter=net.loss_parameter,
            params=weights,
            **vars(scaling),
            classes=target.classes,
            single_output=target.single and len(net.loss_parameter) < 2,
            columns=columns,
            target_range=target_range,
            options=dict(options),
            examples=source.examples() if results else None,
            **results,
        )

    return network


def _digests(
    source: Source, target: Targets, weight: Any, parting: Division, validation: samples.Rows | None
) -> dict[str, list[str]]:
    """Digest of each argument that holds data."""
    y = [target.values, *([] if target.classes is None else [target.classes])]
    found = {"X": source.digest(False), "y": checkpoint.digest(y), "sample_weight": checkpoint.digest([weight])}
    for name, places in vars(parting).items():
        found |= {} if places is None else {name: checkpoint.digest([places])}
    if validation is None:
        return found
    return found | {"validation": source.digest(True, validation.y.values, validation.weight)}


def _metric(
    metric: Any, source: Source, validation: samples.Rows | None, network: Callable[[Any], Network]
) -> loop.Metric | None:
    """The metric as a function of the weights; None if the validation loss decides."""
    if metric == "loss" or validation is None:
        return None
    known, weight = validation.labels, samples.unequal(validation.weight)

    def measure(weights: Any) -> float:
        net = network(weights)
        predicted = source.predicted(net)
        value = net._score_of(predicted, known, weight) if metric == "score" else metric(known, predicted)
        if not isinstance(value, numbers.Real) or math.isnan(value):
            raise ValueError(f"metric: expected a number from metric(y_true, y_pred), got {value!r}")
        return float(value)

    return measure
