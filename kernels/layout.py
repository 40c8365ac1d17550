"""How arrays lie in memory, in elements."""

from ._jit import jit


@jit
def step_of(A, axis):
    """Elements from one index of `axis` to the next; ValueError where elements do not lie whole numbers of elements apart."""
    step = A.strides[axis]
    if step % A.itemsize != 0:
        raise ValueError("arrays must have strides that are multiples of their item size; (stride, item size) came as", step, A.itemsize)
    return step // A.itemsize
