"""What kernels of whole networks take together: samples, layers, the rule of updates, and memory."""

from typing import Any, NamedTuple


class Samples(NamedTuple):
    """What is learnt from; X has no rows where the samples are those of a sparse matrix, or in pieces."""

    X: Any
    Y: Any
    weight: Any


class Csr(NamedTuple):
    """Samples in compressed rows."""

    data: Any
    indices: Any
    indptr: Any


class Pieces(NamedTuple):
    """
    Samples in pieces, see `product.piecewise`.

    `places` has a row for each sample, and so has `shares`; `columns` and `heights` say where nodes and inputs of each
    number are. `nodes` and `gradient` are memory for the nodes of all numbers, and for their gradient: zeros.
    """

    places: Any
    shares: Any
    columns: Any
    heights: Any
    nodes: Any
    gradient: Any


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

    layout: Any
    stride: Any
    blocks: Any
    tiles: Any
    space: Any
    begin: Any
    gradient: Any
    squares: Any
    results: Any


class Training(NamedTuple):
    """A network that learns: what it is, its parameters, how they are updated, and memory."""

    net: Any
    params: Any
    rule: Any
    work: Any


class Updates(NamedTuple):
    """The updates of a pass: samples of each, how many were made before, and the rate and penalty of each."""

    batch_size: Any
    made: Any
    rates: Any
    penalties: Any


class Batch(NamedTuple):
    """The samples of one update: order[start : start + rows]."""

    order: Any
    start: Any
    rows: Any


class Step(NamedTuple):
    """The numbers of one update, see `step_rates`."""

    rate: Any
    pace: Any
    decay: Any


class Microbatch(NamedTuple):
    """
    Samples that go through the layers together, one a column of work space (see `layout_of`).

    Element j of sample s is ``space[at + layout[..., ..._AT] + j * stride + s]`` for s < count; `first` is the number
    of its first sample in the batch.
    """

    layout: Any
    stride: Any
    space: Any
    at: Any
    first: Any
    count: Any


class Block(NamedTuple):
    """Rows i0 to i1 and columns j0 to j1 of a layer's [W; b]: weights that are updated together."""

    layer: Any
    i0: Any
    i1: Any
    j0: Any
    j1: Any
