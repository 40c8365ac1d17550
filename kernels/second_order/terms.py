"""
The products that a Gauss-Newton matrix is the sum of, and how they are cut into tasks.

There are two ways. Directly, J^T J is the product of the Jacobian with itself, for each output one: P (P + 1) / 2
multiply-adds a sample and output. But each row of J is made of few numbers, dr_k/dw_ij = a_i delta^k_j. So the block of
layers l and m is

    sum_s a_i a_i' D_jj',    D_jj' = sum_k delta^k_j delta^k_j',

a product of (pairs of inputs) x samples with samples x (pairs of units), whatever the number of outputs; and within a
layer, each pair need be there in one order only. Where that takes clearly fewer multiply-adds, J^T J is factored so.
"""

from typing import Any, NamedTuple

import numpy as np

from ..compiler.jit import python_or_compiled
from ..compiler.memory import whole_vectors
from ..product.blocking import MR, NR, panel_columns

# Columns of `Terms.table`: A B^T is added to the sums, where A and B are rows of factors, `A_ROWS` and `B_ROWS` many
# from `A_AT` and `B_AT` on. B is packed into panels, the first of them in column `PANELS_AT`; the sums lie at `OUT_AT`
# and have `WIDTH` elements a row.
A_AT, A_ROWS, B_AT, B_ROWS, PANELS_AT, OUT_AT, WIDTH, TERM_COLUMNS = range(8)
# Columns of `Terms.tasks`: rows of a term, and its first column that is computed.
TERM, FIRST, HEIGHT, COLUMN, TASK_COLUMNS = range(5)
# Rows of a task: most, and how many tasks a term is cut into at least. Most bins of tasks, of about equal work.
BAND_ROWS, BANDS, BINS = 64, 8, 16
# Multiply-adds that writing and packing a number of a factor costs; and by how much the factored way must cost less,
# as its products are of more shapes.
WRITTEN, LESS = 12, 0.8
# Samples of a microbatch, and elements of its factors at most, for each element of the matrix.
TOGETHER, MOST_HELD = 192, 8


class Terms(NamedTuple):
    """
    What is multiplied.

    `rows` of factors and `columns` of panels are there for each microbatch, `size` elements of sums in all. Bin b has
    the tasks ``bins[b]`` to ``bins[b + 1]``. Directly, there is one term for all outputs: their Jacobians lie `apart`
    rows and columns of panels from each other.
    """

    factored: Any
    table: Any
    tasks: Any
    bins: Any
    rows: Any
    columns: Any
    size: Any
    repeats: Any
    apart_rows: Any
    apart_columns: Any


@python_or_compiled
def whole_panels(count, itemsize):
    """`count` columns, rounded up to whole panels."""
    panel = panel_columns(itemsize)
    return (count + panel - 1) // panel * panel


@python_or_compiled
def pairs(l, m, count_l, count_m):
    """Pairs of one of `count_l` and one of `count_m` things, of two layers; of the same layer, each in one order."""
    return count_l * (count_l + 1) // 2 if l == m else count_l * count_m


@python_or_compiled
def is_factored(sizes, params):
    """Whether the factored way costs less, by its multiply-adds and what is written, and takes not much more memory."""
    layers = sizes.size - 1
    outputs = np.int64(sizes[layers])
    direct = outputs * (params * (params + 1) // 2 + WRITTEN * params)
    cost, rows = np.int64(0), np.int64(0)
    for l in range(layers):
        for m in range(l, layers):
            inputs, units = pairs(l, m, sizes[l] + 1, sizes[m] + 1), pairs(l, m, sizes[l + 1], sizes[m + 1])
            cost += inputs * units + WRITTEN * (inputs + outputs * units)
            rows += inputs + units
    return cost < LESS * direct and rows * TOGETHER <= MOST_HELD * params * params


@python_or_compiled
def table_of(sizes, params, itemsize):
    """The table of a network with so many parameters; and rows of factors, columns of panels, and elements of sums."""
    layers = sizes.size - 1
    table = np.zeros((layers * (layers + 1) // 2 + layers if is_factored(sizes, params) else 1, TERM_COLUMNS), np.int64)
    if table.shape[0] == 1:
        outputs, width = np.int64(sizes[layers]), whole_vectors(params + 1, itemsize)
        table[0, A_ROWS], table[0, B_ROWS], table[0, WIDTH] = params, params + 1, width
        return table, outputs * (params + 1), outputs * whole_panels(params + 1, itemsize), params * width
    rows, columns, size, number = np.int64(0), np.int64(0), np.int64(0), 0
    for l in range(layers):
        for m in range(l, layers):
            inputs, units = pairs(l, m, sizes[l] + 1, sizes[m] + 1), pairs(l, m, sizes[l + 1], sizes[m + 1])
            table[number, A_AT], table[number, A_ROWS] = rows, inputs
            table[number, B_AT], table[number, B_ROWS] = rows + inputs, units
            rows, number = rows + inputs + units, number + 1
    for l in range(layers):  # the gradient: a_i, the last pairs of inputs of the layer, as one is 1, and g_j
        whole = table[pair_number(l, l, layers)]
        inputs = np.int64(sizes[l] + 1)
        table[number, A_AT], table[number, A_ROWS] = whole[A_AT] + whole[A_ROWS] - inputs, inputs
        table[number, B_AT], table[number, B_ROWS] = rows, sizes[l + 1]
        rows, number = rows + sizes[l + 1], number + 1
    for t in range(number):
        width = whole_vectors(table[t, B_ROWS], itemsize)
        table[t, PANELS_AT], table[t, OUT_AT], table[t, WIDTH] = columns, size, width
        columns += whole_panels(table[t, B_ROWS], itemsize)
        size += table[t, A_ROWS] * width
    return table, rows + 1, columns, size  # after the factors, a row for the residuals


@python_or_compiled
def terms_of(sizes, params, itemsize):
    """The terms of a network with so many parameters."""
    table, rows, columns, size = table_of(sizes, params, itemsize)
    factored, outputs = table.shape[0] > 1, np.int64(sizes[sizes.size - 1])
    tasks, bins = tasks_of(table, not factored, itemsize)
    repeats = np.int64(1) if factored else outputs
    apart = np.int64(0), np.int64(0)
    if not factored:
        apart = rows // outputs, columns // outputs
    return Terms(factored, table, tasks, bins, rows, columns, size, repeats, apart[0], apart[1])


@python_or_compiled
def pair_number(l, m, layers):
    """The number of the term of layers l <= m."""
    return l * layers - l * (l - 1) // 2 + m - l


@python_or_compiled
def tasks_of(table, triangle, itemsize):
    """Rows of terms that are computed together, and bins of them; of a triangle, nothing left of its diagonal."""
    panel = panel_columns(itemsize)
    lanes, count = panel // NR, 0
    for t in range(table.shape[0]):
        height = task_height(table[t, A_ROWS])
        count += (table[t, A_ROWS] + height - 1) // height
    tasks, work = np.zeros((count, TASK_COLUMNS), np.int64), np.zeros(count, np.int64)
    number = 0
    for t in range(table.shape[0]):
        rows, columns, height = table[t, A_ROWS], table[t, B_ROWS], task_height(table[t, A_ROWS])
        # after these panels, `product.tile.panels` may cut the columns otherwise
        whole = max(0, ((columns + lanes - 1) // lanes - 2) // NR)
        for first in range(0, rows, height):
            tasks[number, TERM], tasks[number, FIRST] = t, first
            tasks[number, HEIGHT] = min(height, rows - first)
            tasks[number, COLUMN] = min(first // panel, whole) * panel if triangle else 0
            work[number] = tasks[number, HEIGHT] * (columns - tasks[number, COLUMN])
            number += 1
    # the largest first, each into the bin with the least work
    most = max(1, min(BINS, count // 2))  # two tasks or more in each: a large and a small one
    order, loads, place = np.argsort(-work), np.zeros(most, np.int64), np.zeros(count, np.int64)
    for k in range(count):
        place[order[k]] = np.argmin(loads)
        loads[place[order[k]]] += work[order[k]]
    sorted_tasks, bins, number = np.zeros((count, TASK_COLUMNS), np.int64), np.zeros(most + 1, np.int64), 0
    for b in range(most):
        for k in range(count):
            if place[k] == b:
                sorted_tasks[number] = tasks[k]
                number += 1
        bins[b + 1] = number
    return sorted_tasks, bins


@python_or_compiled
def task_height(rows):
    """Rows of each task of a term."""
    return min(BAND_ROWS, max(1, (rows + BANDS * MR - 1) // (BANDS * MR)) * MR)
