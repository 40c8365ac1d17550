"""Intel's MKL, called through ctypes."""

import ctypes
import re
import sys
from functools import partial
from importlib.metadata import version as installed
from pathlib import Path

ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112
mkl = ctypes.CDLL(str(next(Path(sys.prefix, "lib").glob("libmkl_rt.so*"), "libmkl_rt.so")))


def version():
    return f"MKL {installed('mkl')}"


def ran():
    """The kernels are in a library of their own: libmkl_avx512, libmkl_avx2 or, except on Intel's, libmkl_def."""
    files = re.findall(r"libmkl_(avx\w+|def|mc\w*)\.so", Path("/proc/self/maps").read_text())
    return f"libmkl_{', libmkl_'.join(sorted(set(files)))}"


def product(case, threads):
    A, B, out = case.operands()
    gemm, real = (mkl.cblas_sgemm, ctypes.c_float) if out.dtype == "float32" else (mkl.cblas_dgemm, ctypes.c_double)
    layout = [PLAIN if M.flags.c_contiguous else TRANSPOSED for M in (A, B)]
    # data_as keeps the array alive with its address.
    a, b, c = ((M.ctypes.data_as(ctypes.c_void_p), max(M.strides) // M.itemsize) for M in (A, B, out))
    return partial(gemm, ROW_MAJOR, *layout, *out.shape, len(B), real(1), *a, *b, real(0), *c), lambda: out
