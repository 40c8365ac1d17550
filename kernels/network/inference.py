"""
Prediction with a whole network, from raw values to outputs and decisions (lecture L3, L25).

A few rows go one by one: each is a vector that meets every layer's weights once, in the order in which they lie, so
that a single prediction costs what reading the weights costs. Many rows go through in microbatches (see `layout`):
standardised, computed and decided while they are in the cache. Both ways add up the same terms in the same order: they
give the same bits.
"""

import math

import numpy as np
from numba import prange
from numba.extending import overload, register_jitable

from ..compiler.assembler import Assembler
from ..compiler.jit import POLICY, frozen, inner, njit, python_or_compiled
from ..compiler.processor import REGISTERS, VECTOR_BYTES
from ..compiler.routine import routine
from ..compiler.values import DOUBLE, I64, Address, Float, Integer, Mask
from ..layer.activation import IDENTITY, RELU, SOFTMAX, activate, softmax_columns
from ..product.pack import read_transposed
from .arguments import Microbatch
from .forward import check_network, forward_work, parameter_count, write_outputs
from .layout import ERROR_ROWS_AT, GROUP, PARTS, fill_ones, pack_weights

# Rows up to which each row goes through the layers as a vector of its own.
FEW = 8
# Vectors of sums that `row_product` holds in registers: each row of W is read in long pieces.
WIDE = REGISTERS // 2
# Multiply-adds of a call from which it goes to threads.
PARALLEL_INFER = 5_000_000


@routine("(ii)aaAs")
def row_product(v: Assembler, shape: tuple, x: Address, W: Address, y: Address, floor: Float) -> None:
    """y_j = max(floor, sum_k x_k W_kj) for one row x and W of depth x m, rows one after another."""
    (depth, m), least = shape, v.broadcast(floor)

    def columns(first: Integer, vectors: int, mask: Mask | None = None) -> None:
        sums = [v.const(0)] * vectors
        for k in v.range(depth, carry=sums):
            row, xk = W + first + k * m, x.broadcast(k)
            # y_j += x_k w_kj
            sums[:] = [v.fma(xk, row[j * v.lanes, mask], total) for j, total in enumerate(sums)]
        for j, total in enumerate(sums):
            (y + first)[j * v.lanes, mask] = v.max(total, least)

    for piece in v.range(m // (WIDE * v.lanes)):
        columns(piece * (WIDE * v.lanes), WIDE)
    done, vectors = v.round_down(m, WIDE * v.lanes), WIDE // 2
    while vectors:  # the vectors that are left: as the bits of m say
        part = m & vectors * v.lanes
        with v.when(part != 0):
            columns(done, vectors)
        done, vectors = done + part, vectors // 2
    with v.when(done < m):
        columns(done, 1, v.first(m - done))


def _standardise(v: Assembler, shape: tuple, X: Address, scaling: Address, z: Address) -> None:
    """
    (x_j - mean_j) r_j of rows of X in float64, row after row; without a scaling (`scaled` is 0) x_j itself.

    `gather` does so with rows in any order.
    """
    rows, columns, scaled = shape
    with v.if_else(scaled == 0) as (plain, changed):
        with plain:
            for j, mask in v.vectors(rows * columns):
                z[j, mask] = X[j, mask].to(v.scalar)
        with changed:
            for i in v.range(rows):
                x, row = X + i * columns, z + i * columns
                for j, mask in v.vectors(columns):
                    centred = x[j, mask].to(DOUBLE) - scaling[j, mask]
                    row[j, mask] = (centred * (scaling + columns)[j, mask]).to(v.scalar)


@routine("(iii)afA")
def standardise_own(v: Assembler, shape: tuple, X: Address, scaling: Address, z: Address) -> None:
    """`_standardise` for an X of the routine's dtype."""
    _standardise(v, shape, X, scaling, z)


@routine("(iii)ffA")
def standardise_wide(v: Assembler, shape: tuple, X: Address, scaling: Address, z: Address) -> None:
    """`_standardise` for an X of float64."""
    _standardise(v, shape, X, scaling, z)


def standardise(X, first, rows, scaling, space, at):
    """Standardised inputs of some rows, row after row from `at` on."""


@overload(standardise, jit_options=POLICY)
def _standardise_rows(X, first, rows, scaling, space, at):
    emitted = standardise_own if X.dtype == space.dtype else standardise_wide

    def rows_of(X, first, rows, scaling, space, at):
        columns = X.shape[1]
        emitted((rows, columns, scaling.shape[1]), X, first * columns, scaling, 0, space, at)

    return rows_of


@routine("(iii)a", result="i")
def all_finite(v: Assembler, shape: tuple, a: Address) -> Integer:
    """Whether the first `samples` elements of each of `units` rows, `stride` apart, are finite."""
    (units, samples, stride), finite = shape, [v.const(0) < 1]
    for j in v.range(units, carry=finite):
        row = a + j * stride
        for s in v.range(0, samples, v.lanes, carry=finite):
            finite[0] &= abs(row[s, v.first(samples - s)]) < math.inf
    return v.where(v.any(~finite[0]), v.index(0), 1)


@routine("(ii)fA")
def rescale(v: Assembler, shape: tuple, rescaling: Address, y: Address) -> None:
    """y_k deviation_k + mean_k of rows of outputs, computed in float64."""
    rows, columns = shape
    for i in v.range(rows):
        row = y + i * columns
        for k, mask in v.vectors(columns):
            scaled = row[k, mask].to(DOUBLE) * (rescaling + columns)[k, mask]
            row[k, mask] = (scaled + rescaling[k, mask]).to(v.scalar)


@routine("(ii)saN")
def decide(v: Assembler, shape: tuple, threshold: Float, y: Address, number: Address) -> None:
    """
    Number of the largest output of each row: the first, if several are equal.

    With one or two outputs 1 where the last one is above the threshold, else 0.
    """
    rows, units = shape
    with v.if_else(units <= 2) as (two, several):
        with two:
            for i in v.range(rows):
                number.set_item(i, (y.item((i + 1) * units - 1) > threshold).to(I64))
        with several:
            for i in v.range(rows):
                row = y + i * units
                best = [v.index(0), row.item()]
                for k in v.range(1, units, carry=best):
                    above = row.item(k) > best[1]
                    best[:] = [v.where(above, k, best[0]), v.where(above, row.item(k), best[1])]
                number.set_item(i, best[0])


@inner
def finish(rows, rescaling, threshold, out, first, decision):
    """Rescale some rows of outputs, and decide, unless `decision` is empty."""
    units = out.shape[1]
    if rescaling.shape[1] > 0:
        rescale((rows, units), rescaling, 0, out, first * units)
    if decision.size > 0:
        decide((rows, units), threshold, out, first * units, decision, first)


@python_or_compiled
def row_space(sizes, itemsize):
    """Elements of work space that a row takes in `infer_row`."""
    widest = np.int64(0)
    for l in range(sizes.size):
        widest = max(widest, sizes[l])
    return 2 * (widest + 1) + sizes[sizes.size - 1] * (VECTOR_BYTES // itemsize)


@inner
def infer_row(X, i, scaling, net, space, out):
    """
    Outputs for row i of X; whether its inputs are finite. Unchecked.

    `net` is sizes, activations and params; `space` has `row_space` elements.
    """
    (sizes, activations, params), lanes = net, VECTOR_BYTES // out.itemsize
    layers, n_out = activations.size, sizes[-1]
    columns = space.size - n_out * lanes
    a, z, W = np.int64(0), columns // 2, np.int64(0)
    standardise(X, i, 1, scaling, space, a)
    finite = all_finite((1, sizes[0], sizes[0]), space, a) != 0
    for l in range(layers):
        n_in, units, kind = sizes[l], sizes[l + 1], activations[l]
        # z_j = sum_k a_k w_kj: row n_in of W is b, and a_(n_in) is 1
        space[a + n_in] = 1
        floor = space.dtype.type(0) if kind == RELU else -space.dtype.type(np.inf)
        row_product((n_in + 1, units), space, a, params, W, space, z, floor)
        if kind != RELU and kind != IDENTITY and kind != SOFTMAX:
            activate(kind, units, (space, z, 1), (space, z, 1))
        a, z, W = z, a, W + (n_in + 1) * units
    if activations[layers - 1] == SOFTMAX:  # in the form, and so in the order of sums, that it has in a microbatch
        for k in range(n_out):
            space[columns + k * lanes] = space[a + k]
        softmax_columns(n_out, 1, lanes, space, columns)
        for k in range(n_out):
            space[a + k] = space[columns + k * lanes]
    for k in range(n_out):
        out[i, k] = space[a + k]
    return finite


def read_columns(X, first, rows, scaling, space, staged, at, stride):
    """Standardised inputs of some rows as columns, `stride` apart; `staged` is the place of a copy as rows."""


@overload(read_columns, jit_options=POLICY)
def _read_columns(X, first, rows, scaling, space, staged, at, stride):
    @register_jitable(**POLICY)
    def from_copy(X, first, rows, scaling, space, staged, at, stride):
        standardise(X, first, rows, scaling, space, staged)
        read_transposed((rows, X.shape[1]), space, staged, (space, at, stride))

    def directly(X, first, rows, scaling, space, staged, at, stride):
        if scaling.shape[1]:
            from_copy(X, first, rows, scaling, space, staged, at, stride)
        else:
            read_transposed((rows, X.shape[1]), X, first * X.shape[1], (space, at, stride))

    return directly if X.dtype == space.dtype else from_copy


@njit(parallel=True)
def _infer_rows(inputs, params, outputs, work, finite):
    """Outputs and decisions for all rows, microbatch after microbatch; finite[p]: whether part p of X is. Unchecked."""
    (X, scaling), (rescaling, threshold, out, decision) = inputs, outputs
    layout, stride, packed, space, begin, size, parts = work
    n, n_in = X.shape
    microbatches = (n + stride - 1) // stride
    pack_weights(layout, params, packed)
    for number in prange(parts):  # no race: each part has space of its own, and rows of `out` and `decision`
        part = np.int64(number)  # prange counts in unsigned numbers
        at = begin + part * size
        fill_ones(layout, stride, space, at)
        for m in range(part * microbatches // parts, (part + 1) * microbatches // parts):
            first = m * stride
            rows = min(stride, n - first)
            read_columns(X, first, rows, scaling, space, at + layout[0, ERROR_ROWS_AT], at, stride)
            # a whole microbatch is one long row
            units, length = (1, n_in * stride) if rows == stride else (n_in, rows)
            if all_finite((units, length, n_in * stride // units), space, at) == 0:
                finite[part] = False
            write_outputs(Microbatch(layout, stride, space, at, first, rows), params, packed, out)
            finish(rows, rescaling, threshold, out, first, decision)


_infer_rows_serial = _infer_rows.serial


@python_or_compiled
def check_infer(X, scaling, sizes, activations, params, rescaling, out, decision):
    """Raise ValueError unless the arguments of `infer` go together."""
    check_network(sizes, activations, params)
    n, n_in, n_out = X.shape[0], sizes[0], sizes[activations.size]
    if X.shape[1] != n_in:
        raise ValueError("infer: X must have sizes[0] columns; (X, wanted) are", X.shape, n_in)
    if out.shape[0] != n or out.shape[1] != n_out:
        raise ValueError(
            "infer: out must have shape (n, sizes[-1]); (X, out, sizes[-1]) are", X.shape, out.shape, n_out
        )
    if scaling.shape[0] != 2 or (scaling.shape[1] != n_in and scaling.shape[1] != 0):
        raise ValueError("infer: scaling must have shape (2, sizes[0]) or (2, 0), got", scaling.shape)
    if rescaling.shape[0] != 2 or (rescaling.shape[1] != n_out and rescaling.shape[1] != 0):
        raise ValueError("infer: rescaling must have shape (2, sizes[-1]) or (2, 0), got", rescaling.shape)
    if decision.size != n and decision.size != 0:
        raise ValueError("infer: decision must have n elements or none; (X, decision) are", X.shape, decision.size)
    if not (X.flags.c_contiguous and out.flags.c_contiguous):
        raise ValueError("infer: X and out must be C-contiguous")


@njit
def few_rows(X, scaling, sizes, activations, params, rescaling, threshold, out, decision):  # noqa: PLR0913
    """What `infer` does with few rows, one by one. Unchecked: `fastbp.Network` has checked its arrays once."""
    net, finite, space = (sizes, activations, params), True, np.empty(row_space(sizes, out.itemsize), out.dtype)
    for i in range(X.shape[0]):
        if not infer_row(X, i, scaling, net, space, out):
            finite = False
    finish(X.shape[0], rescaling, threshold, out, 0, decision)
    return finite


@python_or_compiled
def infer(X, scaling, sizes, activations, params, rescaling, threshold, out, decision):  # noqa: PLR0913
    """
    Outputs and decisions of a network for raw values (lecture L3).

    a_0 = (x - mean) r, a_l = f(W_l^T a_l-1 + b_l), y = a_L s + mean.

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
        Overwritten with the number of the largest output of each sample, or with one or two outputs 1 where the last
        one is above the threshold, else 0. Nothing, if it is empty.

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
    2 n P flops for P parameters. Up to 8 rows cost what reading the weights costs, P numbers a row. Scaling and its
    inverse are computed in float64. The outputs have the same bits whatever the number of rows. Work space is allocated
    once a call, nothing per sample.
    """
    X, params = frozen(X), frozen(params)
    scaling, rescaling = frozen(np.ascontiguousarray(scaling)), frozen(np.ascontiguousarray(rescaling))
    sizes, activations = frozen(sizes), frozen(activations)
    check_infer(X, scaling, sizes, activations, params, rescaling, out, decision)
    if X.shape[0] <= FEW:
        return few_rows(X, scaling, sizes, activations, params, rescaling, threshold, out, decision)
    # each part has room for a copy of its inputs as rows
    work = forward_work(sizes, activations, out, 1, sizes[0])
    finite = np.ones(work.parts, np.bool_)
    _infer_rows_serial((X, scaling), params, (rescaling, threshold, out, decision), work, finite)
    return finite.all()


def infer_parallel(X, scaling, sizes, activations, params, rescaling, threshold, out, decision):  # noqa: PLR0913
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
    Samples are independent: each thread takes rows of its own, and writes to rows of its own.
    """
    X, params = frozen(X), frozen(params)
    scaling, rescaling = frozen(np.ascontiguousarray(scaling)), frozen(np.ascontiguousarray(rescaling))
    sizes, activations = frozen(sizes), frozen(activations)
    check_infer(X, scaling, sizes, activations, params, rescaling, out, decision)
    # each part has room for a copy of its inputs as rows
    work = forward_work(sizes, activations, out, PARTS, sizes[0])
    finite = np.ones(work.parts, np.bool_)
    _infer_rows((X, scaling), params, (rescaling, threshold, out, decision), work, finite)
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
        By the multiply-adds. Set higher than where threads begin to win: below, the gain is not worth compiling for.
    """
    return rows > GROUP and rows * parameter_count(np.asarray(sizes)) >= PARALLEL_INFER
