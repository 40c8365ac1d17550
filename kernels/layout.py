"""How arrays lie in memory: for kernels that take any layout and hand addresses and steps to routines."""

from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array


@intrinsic
def memory(typingctx, A):
    """
    Return the memory of an array as a flat array: one type for every number of axes, layout and writability.

    So what works on it is compiled once per dtype. It begins at the first element and has a length of 0: it is for routines.
    """
    if not A.aligned:
        raise TypingError(f"aligned arrays expected, whose elements lie whole numbers of elements apart, got {A}")
    flat = types.Array(A.dtype, 1, "C")

    def codegen(context, builder, signature, args):
        array, view = context.make_array(signature.args[0])(context, builder, args[0]), context.make_array(flat)(context, builder)
        zero = context.get_constant(types.intp, 0)
        itemsize = context.get_constant(types.intp, signature.args[0].dtype.bitwidth // 8)
        populate_array(view, data=array.data, shape=[zero], strides=[itemsize], itemsize=itemsize, meminfo=array.meminfo, parent=array.parent)
        return impl_ret_borrowed(context, builder, flat, view._getvalue())

    return flat(A), codegen


@intrinsic
def steps(typingctx, A):
    """Return for each axis the elements from one index to the next; 1 where an axis has one element, or none."""
    if not A.aligned:
        raise TypingError(f"aligned arrays expected, whose elements lie whole numbers of elements apart, got {A}")

    def codegen(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        shape, strides = (cgutils.unpack_tuple(builder, x, signature.args[0].ndim) for x in (array.shape, array.strides))
        one = context.get_constant(types.intp, 1)
        itemsize = context.get_constant(types.intp, signature.args[0].dtype.bitwidth // 8)
        found = [builder.select(builder.icmp_signed(">", n, one), builder.sdiv(s, itemsize), one) for n, s in zip(shape, strides, strict=True)]
        return context.make_tuple(builder, signature.return_type, found)

    return types.UniTuple(types.intp, A.ndim)(A), codegen
