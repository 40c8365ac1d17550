"""How arrays lie in memory: for kernels that take any layout and pass addresses and steps to routines."""

from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic

from .jit import python_or_compiled
from .processor import SUMMED_BYTES, VECTOR_BYTES

MISFIT = "arrays expected whose elements lie whole numbers of elements apart (not a field of packed records)"


@intrinsic
def memory(typingctx, A):
    """
    Return the memory of an array as a flat array: one type for every number of axes, layout and writability.

    Code that takes it is compiled once per dtype. It begins at the first element and has a length of 0: it is for
    routines.
    """
    return _flat(A)


@intrinsic
def written_memory(typingctx, A):
    """Return the memory of an array that will be written: a read-only one is refused."""
    if not A.mutable:
        raise TypingError(f"this array is written, and must not be read-only: {A}")
    return _flat(A)


def _flat(A):
    if not A.aligned:
        raise TypingError(f"{MISFIT}, got {A}")
    flat = types.Array(A.dtype, 1, "C")

    def codegen(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        return _view(context, builder, signature, array, array.data)

    return flat(A), codegen


@intrinsic
def from_element(typingctx, flat, number):
    """Return the memory that begins so many elements later."""

    def codegen(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        return _view(context, builder, signature, array, builder.gep(array.data, [args[1]]))

    return flat(flat, types.intp), codegen


def _view(context, builder, signature, array, data):
    """A flat array without elements that begins at `data`, in the memory of `array`."""
    from numba.np.arrayobj import populate_array  # takes 40 ms, which importing fastbp need not spend

    flat = signature.return_type
    view, itemsize = (
        context.make_array(flat)(context, builder),
        context.get_constant(types.intp, flat.dtype.bitwidth // 8),
    )
    zero = context.get_constant(types.intp, 0)
    populate_array(
        view, data=data, shape=[zero], strides=[itemsize], itemsize=itemsize, meminfo=array.meminfo, parent=array.parent
    )
    return impl_ret_borrowed(context, builder, flat, view._getvalue())


@intrinsic
def borrowed(typingctx, A):
    """Return an array whose memory somebody else keeps: tuples that it is put into do not count (see `inner`)."""

    def codegen(context, builder, signature, args):
        array = context.make_array(A)(context, builder, args[0])
        array.meminfo = cgutils.get_null_value(array.meminfo.type)
        return array._getvalue()

    return A(A), codegen


@intrinsic
def steps(typingctx, A):
    """Return for each axis the elements from one index to the next; 1 where an axis has one element, or none."""
    if not A.aligned:
        raise TypingError(f"{MISFIT}, got {A}")

    def codegen(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        shape, strides = (
            cgutils.unpack_tuple(builder, x, signature.args[0].ndim) for x in (array.shape, array.strides)
        )
        one = context.get_constant(types.intp, 1)
        itemsize = context.get_constant(types.intp, signature.args[0].dtype.bitwidth // 8)
        strides = [
            builder.select(builder.icmp_signed(">", n, one), s, itemsize) for n, s in zip(shape, strides, strict=True)
        ]
        # Numba takes every array that comes from Python for aligned
        for s in strides:
            with cgutils.if_unlikely(builder, cgutils.is_not_null(builder, builder.srem(s, itemsize))):
                context.call_conv.return_user_exc(builder, ValueError, (MISFIT,))
        return context.make_tuple(builder, signature.return_type, [builder.sdiv(s, itemsize) for s in strides])

    return types.UniTuple(types.intp, A.ndim)(A), codegen


@python_or_compiled
def whole_vectors(count, itemsize):
    """`count` elements, rounded up to whole vectors."""
    lanes = VECTOR_BYTES // itemsize
    return (count + lanes - 1) // lanes * lanes


@python_or_compiled
def whole_rows(count, itemsize):
    """`count` elements, rounded up to whole vectors of those whose lanes are added up."""
    lanes = SUMMED_BYTES // itemsize
    return (count + lanes - 1) // lanes * lanes


@python_or_compiled
def aligned(a):
    """Elements of a buffer to leave out so that the next one begins a line of the cache."""
    return -a.ctypes.data % 64 // a.itemsize
