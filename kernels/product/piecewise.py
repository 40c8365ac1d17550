"""
The first layer on the columns of a table: numbers that are encoded piece by piece, and categories.

The edges b_0 < ... < b_Q of a column cut its range into pieces, and a number x gives the inputs v, which is x
standardised, and c_t = clip((x - b_t-1) / (b_t - b_t-1), 0, 1) for t = 1 ... Q: first ones, then a share, then zeros.
Between two edges all of these are linear. So what a number adds to z_j lies on the line between what the edges add:

    v w_j + sum_u c_u w_uj = (1 - s) N_t-1,j + s N_tj,   N_tj = v(b_t) w_j + sum_u<=t w_uj

where s = c_t is the share of the piece in which x lies. Two rows of a table of these nodes, which is made anew for each
batch, take the place of 1 + Q rows of W. Left and right of all edges, where only v grows, there is one more node, at a
distance of 1 in v; and a missing number has a node of its own. Of the inputs of a category, which are all 0 but one, a
single row of W is read.
"""

from collections.abc import Iterator

from ..compiler.assembler import Assembler
from ..compiler.routine import routine
from ..compiler.values import I64, Address, Float, Integer, Mask
from .sparse import TOGETHER

# Of each number: its first node, its inputs (v, whether it is missing or -1, and c_1), and Q. Its nodes are those of
# what is missing, if there is an input for it; the one on the left, the edges, and the one on the right; or, where Q is
# 0, those of v = 0 and v = 1.
FIRST, VALUE, MISSING, INSIDE, COUNT, FIELDS = range(6)


def _vectors(v: Assembler, band: tuple[Integer, Integer]) -> Iterator[tuple[Integer, int, Mask | None]]:
    """Where vectors of a band of columns begin, how many are taken together there, and their mask."""
    j0, j1 = band
    whole = j0 + v.round_down(j1 - j0, TOGETHER * v.lanes)
    for j in v.range(j0, whole, TOGETHER * v.lanes):
        yield j, TOGETHER, None
    for j in v.range(whole, j1, v.lanes):
        yield j, 1, v.first(j1 - j)


def _numbers(v: Assembler, count: Integer, columns: Address, band: tuple) -> Iterator[tuple]:
    """The fields of each number, with j and mask for each vector of a band of columns."""
    for c in v.range(count):
        fields = [columns.item(c * FIELDS + k) for k in range(FIELDS)]
        for j in v.range(*band, v.lanes):
            yield fields, j, v.first(band[1] - j)


@routine("(ii)(ii)naaA")
def piece_nodes(
    v: Assembler, shape: tuple, band: tuple, columns: Address, heights: Address, W: Address, table: Address
) -> None:
    """
    The nodes of all numbers, a row of the table each, from the weights.

    Parameters
    ----------
    shape : numbers, n_out
    band : j0, j1
        Columns of W, and of the table, that are computed.
    columns : FIELDS of each number
    heights : v of each node
    W : [W; b]
    """
    numbers, n_out = shape

    def write(node: Integer, j: Integer, mask: Mask, w: Float, below: Float) -> None:
        (table + node * n_out + j)[0, mask] = v.fma(heights.broadcast(node), w, below)

    for (first, value, missing, inside, count), j, mask in _numbers(v, numbers, columns, band):
        has = (missing >= 0).to(I64)
        w, left, below = (W + value * n_out + j)[0, mask], first + has, [v.const(0)]
        with v.when(missing >= 0):
            write(first, j, mask, w, (W + missing * n_out + j)[0, mask])
        write(left, j, mask, w, below[0])
        write(left + 1, j, mask, w, below[0])
        for t in v.range(count, carry=below):
            below[0] += (W + (inside + t) * n_out + j)[0, mask]
            write(left + 2 + t, j, mask, w, below[0])
        with v.when(count > 0):
            write(left + 2 + count, j, mask, w, below[0])


@routine("(ii)(ii)naAA")
def piece_weight_gradient(
    v: Assembler, shape: tuple, band: tuple, columns: Address, heights: Address, table: Address, out: Address
) -> None:
    """
    Gradient of the weights of all numbers from that of the nodes, which becomes 0: the transpose of `piece_nodes`.

    dw_j = sum_t v_t dN_tj over all nodes, and dw_uj = sum of the dN_tj from the edge b_u on.

    Parameters
    ----------
    shape, band, columns, heights
        As `piece_nodes` takes them.
    table : dN of each node
    out : [dW; db]
        Rows of numbers are overwritten.
    """
    numbers, n_out = shape

    def read(node: Integer, j: Integer, mask: Mask) -> Float:
        at = table + node * n_out + j
        found = at[0, mask]
        at[0, mask] = v.const(0)
        return found

    for (first, value, missing, inside, count), j, mask in _numbers(v, numbers, columns, band):
        left = first + (missing >= 0).to(I64)
        nodes = v.cond(count > 0, lambda count=count: count + 3, lambda: v.index(2))
        sums = [v.const(0), v.const(0)]  # dw, and the dN from this node on
        for k in v.range(nodes, carry=sums):
            t = nodes - 1 - k
            dN = read(left + t, j, mask)
            sums[:] = [v.fma(heights.broadcast(left + t), dN, sums[0]), sums[1] + dN]
            with v.when((t > 1) & (t < count + 2)):
                (out + (inside + t - 2) * n_out + j)[0, mask] = sums[1]
        slope = sums[:1]
        for _ in v.range(left - first, carry=slope):
            dN = read(first, j, mask)
            (out + missing * n_out + j)[0, mask] = dN
            slope[0] = v.fma(heights.broadcast(first), dN, slope[0])
        (out + value * n_out + j)[0, mask] = slope[0]


@routine("(iiiii)(ii)n(na)aa(Ai)")
def piecewise_forward(
    v: Assembler, shape: tuple, band: tuple, order: Address, rows: tuple, table: Address, W: Address, out: tuple
) -> None:
    """
    z_j = b_j + sum of (1 - s) N_tj + s N_t+1,j over numbers + sum of w_ij over categories, for the rows order_0 ...

    Parameters
    ----------
    shape : samples, numbers, categories, n_in, n_out
    band : j0, j1
        Columns of z that are computed.
    order : numbers of rows
    rows : places, shares
        Row after row: the node to the left of each number, then the row of W of each category, or -1; and the share s
        of each number.
    table : the nodes
    W : [W; b], row n_in is b
    out : Z, z_row
    """
    (samples, numbers, categories, n_in, n_out), (places, shares), (Z, z_row) = shape, rows, out
    nothing = v.zeros(TOGETHER * v.lanes)
    for j, vectors, mask in _vectors(v, band):
        lanes = [l * v.lanes for l in range(vectors)]
        for s in v.range(samples):
            row = order.item(s)
            place, share, z = places + row * (numbers + categories), shares + row * numbers, Z + s * z_row + j
            sums = [(W + n_in * n_out + j)[l, mask] for l in lanes] + [v.const(0) for _ in lanes]
            for k in v.range(numbers, carry=sums):
                node, x = table + place.item(k) * n_out + j, share.broadcast(k)
                # two sums, so that neither waits for the other
                for part, at, factor in ((0, node, 1 - x), (vectors, node + n_out, x)):
                    for l, lane in enumerate(lanes):
                        sums[part + l] = v.fma(factor, at[lane, mask], sums[part + l])
            sums = [a + b for a, b in zip(sums[:vectors], sums[vectors:], strict=True)]
            for k in v.range(numbers, numbers + categories, carry=sums):
                i = place.item(k)
                w = v.cond(i >= 0, lambda i=i, j=j: W + i * n_out + j, lambda: nothing)
                sums[:] = [total + w[l, mask] for l, total in zip(lanes, sums, strict=True)]
            for l, total in zip(lanes, sums, strict=True):
                z[l, mask] = total


@routine("(iiiii)(ii)n(na)(ai)AA")
def piecewise_gradient(
    v: Assembler, shape: tuple, band: tuple, order: Address, rows: tuple, delta: tuple, table: Address, out: Address
) -> None:
    """
    Gradients of the nodes and of the weights of categories and biases, on the rows order_0 ... of samples.

    dN_tj += (1 - s) delta_j and dN_t+1,j += s delta_j for each number; dw_ij += delta_j for each category; and
    db_j += delta_j.

    Parameters
    ----------
    shape, band, order, rows
        As `piecewise_forward` takes them.
    delta : delta, delta_row
    table : dN of each node
    out : [dW; db], row n_in is db
    """
    (samples, numbers, categories, n_in, n_out), (places, shares), (delta, delta_row) = shape, rows, delta
    for j, vectors, mask in _vectors(v, band):
        lanes = [l * v.lanes for l in range(vectors)]
        bias = [(out + n_in * n_out + j)[l, mask] for l in lanes]
        for s in v.range(samples, carry=bias):
            row = order.item(s)
            place, share = places + row * (numbers + categories), shares + row * numbers
            d = [(delta + s * delta_row + j)[l, mask] for l in lanes]
            for k in v.range(numbers):
                node, x = table + place.item(k) * n_out + j, share.broadcast(k)
                for at, factor in ((node, 1 - x), (node + n_out, x)):
                    for l, d_l in zip(lanes, d, strict=True):
                        at[l, mask] = v.fma(factor, d_l, at[l, mask])
            for k in v.range(numbers, numbers + categories):
                i = place.item(k)
                with v.when(i >= 0):
                    w = out + i * n_out + j
                    for l, d_l in zip(lanes, d, strict=True):
                        w[l, mask] = w[l, mask] + d_l
            bias[:] = [total + d_l for total, d_l in zip(bias, d, strict=True)]
        for l, total in zip(lanes, bias, strict=True):
            (out + n_in * n_out + j)[l, mask] = total
