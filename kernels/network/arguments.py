"""What kernels of whole networks take: samples, layers, the rule of updates, and memory."""

from typing import Any, NamedTuple


class Samples(NamedTuple):
    """What is learnt from; X is of no rows where the samples are those of a sparse matrix."""

    X: Any
    Y: Any
    weight: Any


class Csr(NamedTuple):
    """Samples in compressed rows."""

    data: Any
    indices: Any
    indptr: Any


class Net(NamedTuple):
    """Layers, and what is minimised."""

    sizes: Any
    activations: Any
    loss: Any
    loss_parameter: Any
    decision: Any


class Rule(NamedTuple):
    """How weights are updated: the optimizer, its state and its numbers; and the seed of dropout."""

    optimizer: Any
    first: Any
    second: Any
    beta1: Any
    beta2: Any
    epsilon: Any
    seed: Any


class Work(NamedTuple):
    """Memory of a run, see `workspace`."""

    plan: Any
    stride: Any
    blocks: Any
    packed: Any
    space: Any
    begin: Any
    gradient: Any
    lengths: Any
    results: Any
