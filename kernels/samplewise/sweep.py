"""
One sweep of the weights per sample: the update by one sample and the forward sums of the next in the same pass.

Per-sample learning reads and writes every weight for every sample. If the update by a sample waits until the forward
pass of the next sample reads the same weight, each weight is read and written once: with the same arithmetic, in the
same order.

Vectors are of SUMMED_BYTES, where registers are longer, too: a sweep waits for stores, and two short ones go faster
than a long one. Rows of weights are multiples of such vectors.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from ..compiler.assembler import Assembler
from ..compiler.processor import SUMMED_BYTES
from ..compiler.routine import routine
from ..compiler.values import I64, Address, Float, Integer
from ..layer.activation import BACKWARD

# Vectors of outputs whose sums and steps stay in registers during a sweep: 16 registers hold five of each.
SWEEP_VECTORS = 5
# Rows of so many vectors that are summed at once, so that enough sums run: a multiply-add takes four cycles, and two
# begin in each. (Two rows of four do not fit in 16 registers: with a sum in memory they took 1.4 to 4 times as long.)
ROWS_AT_ONCE = {1: 8, 2: 4, 3: 2}
# Rows of so many vectors have code of their own in `errors_below`: those of up to 16 outputs.
FEW_VECTORS = (1, 2)


@routine("(iii)(aan)(AaA)", vector_bytes=SUMMED_BYTES)
def sweep(v: Assembler, shape: tuple, inputs: tuple, layer: tuple) -> None:
    """
    One layer: w_ij <- w_ij - x'_i s_j and b_j <- b_j - s_j by the sample before, then z_j = b_j + sum_i x_i w_ij.

    Parameters
    ----------
    shape : n, m, listed
        Inputs, and weights of each (whole vectors). Where `listed` is not negative, only that many inputs are swept,
        those numbered in `rows`: the others have x_i = x'_i = 0, and no term. (Where several rows are summed at once,
        the terms that are left then meet in another order: the result differs by rounding.)
    inputs : x, x', rows
    layer : W, s, z
        Row i of `W` holds the m weights of input i, row n the biases.
    """
    (n, m, listed), (W, step, z) = shape, layer
    dense = listed < 0
    for first, vectors in _panels(v, m):
        j = first * v.lanes
        panel = (W + (n + 1) * j, step + j, z + j)
        bias = panel[0] + n * vectors * v.lanes
        for width in v.cases(vectors, range(1, SWEEP_VECTORS + 1)):
            with v.if_else(dense) as (every, some):
                with every:
                    every_row = functools.partial(_sweep_panel, v, width, False)
                    v.outlined(f"every.{width}", every_row, n, inputs, panel, bias)
                with some:
                    some_rows = functools.partial(_sweep_panel, v, width, True)
                    v.outlined(f"some.{width}", some_rows, listed, inputs, panel, bias)


def _panels(v: Assembler, m: Integer, carry: list[Float] | None = None) -> Iterator[tuple[Integer, Integer]]:
    """
    The panels of rows of `m` weights: the vector where each begins, and how many it has.

    Panels of four and five vectors, where these add up; a panel of three comes before them where they do not.
    """
    carry = [] if carry is None else carry
    state = [v.index(0), *carry]
    for turn in v.repeat(state):
        first, carry[:] = state[0], state[1:]
        left = m // v.lanes - first
        over = left % 4
        most = v.where(over == 0, 4, v.where(left < over * 5, 3, v.index(5)))
        width = v.where(left <= SWEEP_VECTORS, left, most)
        yield first, width
        state[:] = [first + width, *carry]
        turn.again = state[0] * v.lanes < m
    carry[:] = state[1:]


def _sweep_panel(
    v: Assembler, width: int, listed: bool, n: Integer, inputs: tuple, layer: tuple, bias: Address
) -> None:
    """The sweep of `width` vectors of columns; few take several rows at a time, so that enough sums run at once."""
    (x, x_before, rows), (W, step, z) = inputs, layer
    columns = [j * v.lanes for j in range(width)]
    minus_s = [-step[j] for j in columns]
    biases = []
    for j, minus in zip(columns, minus_s, strict=True):
        biases.append(bias[j] + minus)  # b_j <- b_j - s_j
        bias[j] = biases[-1]

    def row(k: Integer, sums: list[Float]) -> list[Float]:
        i = rows.item(k) if listed else k
        now, before, Wi, found = x.broadcast(i), x_before.broadcast(i), W + i * (width * v.lanes), []
        for j, minus, z in zip(columns, minus_s, sums, strict=True):
            # w_ij <- w_ij - x'_i s_j;  z_j += x_i w_ij
            w = v.fma(before, minus, Wi[j])
            Wi[j] = w
            found.append(v.fma(now, w, z))
        return found

    together = ROWS_AT_ONCE.get(width, 1)
    whole = v.round_down(n, together)
    sums = biases + [v.const(0)] * (width * (together - 1))
    for k in v.range(0, whole, together, carry=sums):
        for r in range(together):
            mine = slice(r * width, (r + 1) * width)
            sums[mine] = row(k + r, sums[mine])
    while len(sums) > width:
        half = len(sums) // 2
        sums = [p + q for p, q in zip(sums[:half], sums[half:], strict=True)]
    for k in v.range(whole, n, carry=sums):
        sums[:] = row(k, sums)
    for j, total in zip(columns, sums, strict=True):
        z[j] = total


@routine("i(ii)(aa)as(AA)", vector_bytes=SUMMED_BYTES)
def errors_below(
    v: Assembler, kind: Integer, shape: tuple, above: tuple, a: Address, rate: Float, below: tuple
) -> None:
    """
    Error signals of the layer below: delta_i = f'(z_i) sum_j w_ij delta_j for n units, and s_i = alpha delta_i.

    Parameters
    ----------
    kind : code of the activation of the layer below
    shape : n, m
        Units of the layer below, and weights of each (whole vectors).
    above : W, delta_j
        Rows of `W` hold m weights; `lanes` of them are summed at a time, and so many rows after the last are readable.
    a : outputs of the layer below (its inputs: see `takes_input`)
    rate : alpha
    below : delta_i, s_i
    """
    (n, m), (below, step) = shape, below
    alpha = v.broadcast(rate)
    sums = {vectors: functools.partial(_sums_of_few, v, vectors, above) for vectors in FEW_VECTORS}
    sums[-1] = functools.partial(_sums_of_panels, v, shape, above)
    for i in v.range(0, n, v.lanes):
        total = v.switch(m // v.lanes, sums, i)  # sum_j w_ij delta_j
        total = v.where(v.first(n - i), total, 0)
        found = v.switch(kind, BACKWARD, v, a[i], total)  # delta_i = f'(z_i) sum_j w_ij delta_j
        below[i] = found
        step[i] = alpha * found


def _sums_of_few(v: Assembler, vectors: int, above: tuple, i: Integer) -> Float:
    """As `_sums_of_panels`, for rows of so many vectors: without loops, whose counting took longer than the sums."""
    W, delta = above
    rows = [W + (i + r) * (vectors * v.lanes) for r in range(v.lanes)]
    sums = [v.const(0)] * v.lanes
    for k in range(vectors):
        d = delta[k * v.lanes]
        sums = [v.fma(row[k * v.lanes], d, total) for row, total in zip(rows, sums, strict=True)]
    return v.sums(sums)


def _sums_of_panels(v: Assembler, shape: tuple, above: tuple, i: Integer) -> Float:
    """The sums of row i of `W` and the following, each times delta."""
    (n, m), (W, delta) = shape, above
    sums = [v.const(0)] * v.lanes
    for first, vectors in _panels(v, m, sums):
        width, j = vectors * v.lanes, first * v.lanes
        panel = W + ((n + 1) * j + i * width)
        rows = [panel + r * width for r in range(v.lanes)]
        for k in v.range(0, width, v.lanes, carry=sums):
            d = delta[j + k]
            sums[:] = [v.fma(row[k], d, total) for row, total in zip(rows, sums, strict=True)]
    return v.sums(sums)


@routine("iaaN", result="i")
def rows_of_terms(v: Assembler, n: Integer, x: Address, x_before: Address, rows: Address) -> Integer:
    """Number the i with x_i != 0 or x'_i != 0 in `rows`, and return how many there are."""
    count = [v.index(0)]
    for i in v.range(n, carry=count):
        rows.set_item(count[0], i)
        some = (x.item(i) != 0) | (x_before.item(i) != 0)
        count[0] += some.to(I64)
    return count[0]


@routine("i(iii)(AA)", vector_bytes=SUMMED_BYTES)
def move_panels(v: Assembler, back: Integer, shape: tuple, matrices: tuple) -> None:
    """
    Copy a layer's weights and biases into panels, or `back`.

    Parameters
    ----------
    back : whether they are copied from the panels
    shape : rows, m, columns
        Inputs and biases, the weights of each in the panels (whole vectors), and among the parameters.
    matrices : W, params
    """
    (rows, m, columns), (W, params) = shape, matrices
    for first, vectors in _panels(v, m):
        j = first * v.lanes
        for i in v.range(rows):
            panel, row = W + (rows * j + i * vectors * v.lanes), params + (i * columns + j)
            for k in v.range(0, vectors * v.lanes, v.lanes):
                mask = v.first(columns - j - k)
                with v.if_else(back != 0) as (yes, no):
                    with yes:
                        row[k, mask] = panel[k]
                    with no:
                        panel[k] = row[k, mask]


@routine("(ii)sA", vector_bytes=SUMMED_BYTES)
def shrink(v: Assembler, shape: tuple, share: Float, W: Address) -> None:
    """Take `share` of each weight off, but not of the biases; `shape` and `W` as in `sweep`."""
    (n, m), part = shape, v.broadcast(share)
    for first, vectors in _panels(v, m):
        panel = W + (n + 1) * (first * v.lanes)
        for i in v.range(0, n * vectors * v.lanes, v.lanes):
            w = panel[i]
            panel[i] = w - part * w
