"""
Prediction with a whole network, from raw values to outputs and decisions (lecture L3, L25), at the speed of the machine.

A few rows take a way of their own: each row is a vector that meets every layer's weights once, in the order in which they lie, so that a
single prediction costs what reading the weights costs. Many rows go through in tiles of `GROUP` (see `network`), standardised, computed and
decided while they are in the cache. Both ways add up the same terms in the same order: they give the same bits.
"""

import numpy as np
from numba import prange
from numba.extending import overload, register_jitable

from ..compiler.assembler import I64, REGISTERS, VECTOR_BYTES, Assembler, Value
from ..compiler.jit import POLICY, exact, frozen, inner, njit, python_or_compiled
from ..compiler.memory import aligned, whole_vectors
from ..compiler.routine import routine
from ..layer.activation import IDENTITY, RELU, SOFTMAX, activate, softmax_columns
from ..product.pack import read_transposed, transpose_exact
from .forward import (
    ERRORS,
    GROUP,
    GROUPS,
    PACKED,
    UNITS,
    check_network,
    fill_ones,
    forward_tile,
    pack_weights,
    parameter_count,
    plan_tile,
)

# Rows up to which each row goes through the layers as a vector of its own.
FEW = 8
# Vectors of sums that `row_product` holds in registers: each row of W is read in long pieces.
WIDE = REGISTERS // 2
# Multiply-adds of a call from which it goes to threads.
PARALLEL_FROM = 5_000_000


@routine("iiaaAs")
def row_product(v: Assembler, depth: Value, m: Value, x: Value, W: Value, y: Value, floor: Value) -> None:
    """y_j = max(floor, sum_k x_k W_kj) for one row x and W of depth x m, rows one after another."""
    b = v.b
    least = v.broadcast(floor)

    def piece(width: int, mask: Value | None, at: Value) -> None:
        def step(k: Value, *sums: Value) -> list[Value]:
            row, xk = v.at(v.at(W, at), b.mul(k, m)), v.broadcast(v.load_scalar(v.at(x, k)))
            return [v.fma(xk, v.load(v.at(row, j * v.lanes), mask), s) for j, s in enumerate(sums)]

        for j, s in enumerate(v.loop(0, depth, 1, step, [v.const(0)] * width)):
            v.store(v.max(s, least), v.at(v.at(y, at), j * v.lanes), mask)

    v.loop(0, b.sdiv(m, I64(WIDE * v.lanes)), 1, lambda p: piece(WIDE, None, b.mul(p, I64(WIDE * v.lanes))))
    done, count = b.and_(m, I64(-WIDE * v.lanes)), WIDE // 2
    while count:  # the vectors that are left: as the bits of m say
        with b.if_then(b.icmp_signed("!=", b.and_(m, I64(count * v.lanes)), I64(0))):
            piece(count, None, done)
        done = b.add(done, b.and_(m, I64(count * v.lanes)))
        count //= 2
    with b.if_then(b.icmp_signed("<", done, m)):
        piece(1, v.first(b.sub(m, done)), done)


@exact
def standardise(X, first, rows, scaling, space, at):
    """(x_j - mean_j) r_j of some rows of X, computed in float64, row after row from `at` on; without a scaling x_j itself."""
    x, z = X[first : first + rows], space[at : at + rows * X.shape[1]].reshape((rows, X.shape[1]))
    number = space.dtype.type
    for i in range(rows):
        if scaling.shape[1]:
            for j in range(X.shape[1]):
                z[i, j] = number((x[i, j] - scaling[0, j]) * scaling[1, j])
        else:
            for j in range(X.shape[1]):
                z[i, j] = number(x[i, j])


@exact
def all_finite(units, samples, stride, space, at):
    """Whether the first `samples` elements of each of `units` rows, `stride` apart, are finite."""
    a, infinite, strange = space[at : at + units * stride].reshape((units, stride)), space.dtype.type(np.inf), 0
    for j in range(units):
        for s in range(samples):
            strange |= not abs(a[j, s]) < infinite
    return strange == 0


@exact
def rescale(rescaling, first, rows, out):
    """y_k deviation_k + mean_k of some rows of outputs, computed in float64."""
    y = out[first : first + rows]
    for i in range(rows):
        for k in range(rescaling.shape[1]):
            y[i, k] = out.dtype.type(y[i, k] * rescaling[1, k] + rescaling[0, k])


@inner
def decide(threshold, first, rows, out, decision):
    """
    Number of the largest output of some rows: the first, if several are equal. Nothing, if `decision` is empty.

    With one or two outputs 1 where the last one is above the threshold, else 0.
    """
    y, number = out[first : first + rows], decision[first : first + rows]
    for i in range(number.size):
        best = np.int64(0)
        if y.shape[1] <= 2:
            best = np.int64(y[i, y.shape[1] - 1] > out.dtype.type(threshold))
        else:
            for k in range(1, y.shape[1]):
                best = np.int64(k) if y[i, k] > y[i, best] else best
        number[i] = best


@python_or_compiled
def row_space(sizes, itemsize):
    """Elements of work space that a row takes in `infer_row`."""
    widest = np.int64(0)
    for l in range(sizes.size):
        widest = max(widest, sizes[l])
    return 2 * (widest + 1) + sizes[sizes.size - 1] * (VECTOR_BYTES // itemsize)


@inner
def infer_row(X, i, scaling, sizes, activations, params, space, at, out):
    """Outputs for row i of X; whether its inputs are finite. Unchecked; work space of `row_space` elements from `at` on."""
    layers, lanes = activations.size, VECTOR_BYTES // out.itemsize
    n_out = sizes[layers]
    columns = at + row_space(sizes, out.itemsize) - n_out * lanes
    a, z, W = at, at + (columns - at) // 2, np.int64(0)
    standardise(X, i, 1, scaling, space, a)
    finite = all_finite(1, sizes[0], sizes[0], space, a)
    for l in range(layers):
        n_in, units, kind = sizes[l], sizes[l + 1], activations[l]
        # z_j = sum_k a_k w_kj: row n_in of W is b, and a_(n_in) is 1
        space[a + n_in] = 1
        floor = space.dtype.type(0) if kind == RELU else -space.dtype.type(np.inf)
        row_product(n_in + 1, units, space, a, params, W, space, z, floor)
        if kind != RELU and kind != IDENTITY and kind != SOFTMAX:
            activate(kind, units, space, z, 1, space, z, 1)
        a, z, W = z, a, W + (n_in + 1) * units
    if activations[layers - 1] == SOFTMAX:  # in the form, and so in the order of sums, that it has in a tile
        for k in range(n_out):
            space[columns + k * lanes] = space[a + k]
        softmax_columns(n_out, 1, lanes, space, columns)
        for k in range(n_out):
            space[a + k] = space[columns + k * lanes]
    for k in range(n_out):
        out[i, k] = space[a + k]
    return finite


def read_tile(X, first, rows, scaling, space, staged, tile, columns):
    """Standardised inputs of some rows as the columns of a tile; `staged` is the place of a copy as rows."""


@overload(read_tile, jit_options=POLICY)
def _read_tile(X, first, rows, scaling, space, staged, tile, columns):
    @register_jitable(**POLICY)
    def from_copy(X, first, rows, scaling, space, staged, tile, columns):
        standardise(X, first, rows, scaling, space, staged)
        read_transposed(rows, X.shape[1], space, staged, space, tile, columns)

    def directly(X, first, rows, scaling, space, staged, tile, columns):
        if scaling.shape[1]:
            from_copy(X, first, rows, scaling, space, staged, tile, columns)
        else:
            read_transposed(rows, X.shape[1], X, first * X.shape[1], space, tile, columns)

    return directly if X.dtype == space.dtype else from_copy


@python_or_compiled
def group_space(sizes, plan, itemsize):
    """Elements of work space of a group: a tile, and a copy of its inputs as rows; whole lines of the cache."""
    line = 64 // itemsize
    return (plan[0, ERRORS] + GROUP * sizes[0] + line - 1) // line * line


@njit(parallel=True)
def _tiles(
    X, scaling, sizes, activations, params, rescaling, threshold, plan, packed, space, begin, finite, out, decision
):
    """Outputs and decisions for all rows, tile after tile; finite[g]: whether all inputs of group g are. Unchecked."""
    n, n_in, layers = X.shape[0], sizes[0], activations.size
    n_out, columns = sizes[layers], whole_vectors(min(n, GROUP), out.itemsize)
    tiles, groups, size = (n + GROUP - 1) // GROUP, finite.size, group_space(sizes, plan, out.itemsize)
    pack_weights(sizes, plan, params, packed)
    for number in prange(groups):
        group = np.int64(number)  # prange counts in unsigned numbers
        own = begin + group * size
        fill_ones(sizes, columns, plan, space, own)
        for tile in range(group * tiles // groups, (group + 1) * tiles // groups):
            first = tile * GROUP
            rows = min(GROUP, n - first)
            read_tile(X, first, rows, scaling, space, own + plan[0, ERRORS], own, columns)
            # a whole tile is one long row
            units, length = (1, n_in * columns) if rows == columns else (n_in, rows)
            if not all_finite(units, length, n_in * columns // units, space, own):
                finite[group] = False
            forward_tile(columns, columns, sizes, activations, plan, params, packed, space, own)
            if activations[layers - 1] == SOFTMAX:
                softmax_columns(n_out, columns, columns, space, own + plan[layers, UNITS])
            transpose_exact(n_out, rows, space, own + plan[layers, UNITS], columns, out, first * n_out, n_out)
            rescale(rescaling, first, rows, out)
            decide(threshold, first, rows, out, decision)


_tiles_serial = _tiles.serial


@python_or_compiled
def check_infer(X, scaling, sizes, activations, params, rescaling, out, decision):
    """Raise ValueError unless the arguments of `infer` go together."""
    check_network(sizes, activations, params)
    n, n_in, n_out = X.shape[0], sizes[0], sizes[activations.size]
    if X.shape[1] != n_in:
        raise ValueError("infer: X must have sizes[0] columns; (X, wanted) came as", X.shape, n_in)
    if out.shape[0] != n or out.shape[1] != n_out:
        raise ValueError(
            "infer: out must have shape (n, sizes[-1]); (X, out, sizes[-1]) came as", X.shape, out.shape, n_out
        )
    if scaling.shape[0] != 2 or (scaling.shape[1] != n_in and scaling.shape[1] != 0):
        raise ValueError("infer: scaling must have shape (2, sizes[0]) or (2, 0), got", scaling.shape)
    if rescaling.shape[0] != 2 or (rescaling.shape[1] != n_out and rescaling.shape[1] != 0):
        raise ValueError("infer: rescaling must have shape (2, sizes[-1]) or (2, 0), got", rescaling.shape)
    if decision.size != n and decision.size != 0:
        raise ValueError("infer: decision must have n elements or none; (X, decision) came as", X.shape, decision.size)
    if not (X.flags.c_contiguous and out.flags.c_contiguous):
        raise ValueError("infer: X and out must be C-contiguous")


@python_or_compiled
def _plan(X, sizes, activations, out, groups):
    """Plan of a tile, space for packed weights and for the tiles of every group, its begin; whether the inputs of each group are finite."""
    layers = activations.size
    plan = plan_tile(
        sizes, activations, np.zeros(layers), whole_vectors(min(X.shape[0], GROUP), out.itemsize), out.itemsize
    )
    groups = min((X.shape[0] + GROUP - 1) // GROUP, groups)
    packed = np.empty(plan[layers, PACKED], out.dtype)
    space = np.empty(groups * group_space(sizes, plan, out.itemsize) + 16, out.dtype)
    return plan, packed, space, aligned(space), np.ones(groups, np.bool_)


@njit
def few_rows(X, scaling, sizes, activations, params, rescaling, threshold, out, decision):
    """What `infer` does with few rows: each by itself. Unchecked: `fastbp.Network` has made sure once that its arrays go together."""
    finite, space = True, np.empty(row_space(sizes, out.itemsize), out.dtype)
    for i in range(X.shape[0]):
        if not infer_row(X, i, scaling, sizes, activations, params, space, 0, out):
            finite = False
    rescale(rescaling, 0, X.shape[0], out)
    decide(threshold, 0, X.shape[0], out, decision)
    return finite


@python_or_compiled
def infer(X, scaling, sizes, activations, params, rescaling, threshold, out, decision):
    """
    Outputs and decisions of a network for raw values (lecture L3): a_0 = (x - mean) r, a_l = f(W_l^T a_l-1 + b_l), y = a_L s + mean.

    Parameters
    ----------
    X : C-contiguous array, shape (n, sizes[0]), float32 or float64
        Raw values, one sample a row.
    scaling : float64 array, shape (2, sizes[0]) or (2, 0)
        Mean of each input, and the reciprocal r of its deviation; or nothing, where inputs are taken as they are.
    sizes, activations, params
        As in `forward`.
    rescaling : float64 array, shape (2, sizes[-1]) or (2, 0)
        Mean of each output, and its deviation s; or nothing.
    threshold : float
        Of the decision between two classes.
    out : C-contiguous array, shape (n, sizes[-1])
        Overwritten with the outputs y. Has the dtype of `params`.
    decision : int64 array, shape (n,) or (0,)
        Overwritten with the number of the largest output of each sample, or with one or two outputs 1 where the last one is above the
        threshold, else 0. Nothing, if it is empty.

    Returns
    -------
    bool
        Whether all inputs were finite, also as numbers of the dtype of `params`.

    Raises
    ------
    ValueError
        Shapes, layouts or codes that do not fit.

    Notes
    -----
    2 n P flops for P parameters. Up to 8 rows cost what reading the weights costs, P numbers a row. Scaling and its inverse are computed in
    float64. The outputs have the same bits whatever the number of rows. Work space is allocated once a call, nothing per sample.
    """
    X, scaling, rescaling, params = frozen(X), frozen(scaling), frozen(rescaling), frozen(params)
    sizes, activations = frozen(sizes), frozen(activations)
    check_infer(X, scaling, sizes, activations, params, rescaling, out, decision)
    if X.shape[0] <= FEW:
        return few_rows(X, scaling, sizes, activations, params, rescaling, threshold, out, decision)
    plan, packed, space, begin, finite = _plan(X, sizes, activations, out, 1)
    _tiles_serial(
        X, scaling, sizes, activations, params, rescaling, threshold, plan, packed, space, begin, finite, out, decision
    )
    return finite.all()


def infer_parallel(X, scaling, sizes, activations, params, rescaling, threshold, out, decision):
    """
    Outputs and decisions of a network, on the threads that `threads` has set: bit for bit what `infer` gives.

    Parameters
    ----------
    X, scaling, sizes, activations, params, rescaling, threshold, out, decision
        As in `infer`. Called from Python, inside ``with threads(n)``.

    Returns
    -------
    bool
        As `infer`.

    Raises
    ------
    ValueError
        As `infer`.

    Notes
    -----
    Samples are independent: each thread takes tiles of its own, and writes to rows of its own.
    """
    X, scaling, rescaling, params = frozen(X), frozen(scaling), frozen(rescaling), frozen(params)
    sizes, activations = frozen(sizes), frozen(activations)
    check_infer(X, scaling, sizes, activations, params, rescaling, out, decision)
    plan, packed, space, begin, finite = _plan(X, sizes, activations, out, GROUPS)
    _tiles(
        X, scaling, sizes, activations, params, rescaling, threshold, plan, packed, space, begin, finite, out, decision
    )
    return finite.all()


def infer_parallel_pays(sizes, rows):
    """
    Whether threads make the prediction of so many rows faster than one thread.

    Parameters
    ----------
    sizes : sequence of int
        Units per layer, inputs first.
    rows : int
        Samples.

    Returns
    -------
    bool
        By the multiply-adds. Set higher than where the threads begin to win: below, what they win is not worth compiling for.
    """
    return rows > GROUP and rows * parameter_count(np.asarray(sizes)) >= PARALLEL_FROM
