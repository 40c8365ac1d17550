"""The elementary functions: errors in ulp, special values, ends of arrays, and equal bits at every vector width."""

import ctypes
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest
from naive import DTYPES, Arena
from numba import config, njit
from numba.core.errors import TypingError

from fastbp.kernels.compiler import processor
from fastbp.kernels.compiler import routine as _native
from fastbp.kernels.layer import ufunc

pytestmark = pytest.mark.skipif(config.DISABLE_JIT, reason="about compiled code")

# The error bounds in the docstrings.
LIMITS = {"exp": 1.0, "log": 1.0, "tanh": 1.8, "logistic": 1.7, "softplus": 1.9, "erf": 1.6}
NAMES = tuple(LIMITS)
LONG = np.finfo(np.longdouble).nmant >= 63
every_function = pytest.mark.parametrize("name", NAMES)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def compute(name, x):
    out = np.empty_like(x)
    getattr(ufunc, name)(x, out)
    return out


# The reference: NumPy in a wider type


def reference(name, x):
    y = np.abs(x)
    e = np.exp(-y)
    if name == "logistic":
        return np.where(x < 0, e, 1) / (1 + e)
    if name == "softplus":
        return np.maximum(x, 0) + np.log1p(e)
    if name == "erf":
        # erf(x) = 2 / sqrt(pi) e^(-x^2) sum_k 2^k x^(2k+1) / (1 3 5 ... (2k+1)): all terms of one sign
        y = np.minimum(y, 7)
        term = total = y
        for k in range(1, 180):
            term = term * (2 * y * y / (2 * k + 1))
            total = total + term
        # 1 / sqrt(pi), with more digits than a float64
        high, low = x.dtype.type(0.5641895835477563), x.dtype.type(7.66772980658294e-18)
        return np.copysign(2 * (high + low) * np.exp(-y * y) * total, x)
    return getattr(np, name)(x)


def errors(got, true):
    """Errors in ulp of got's dtype at `true`, a wider float; infinity counts as the next power of 2."""
    info, wide = np.finfo(got.dtype), true.dtype.type
    limit = np.ldexp(wide(1), int(info.maxexp))
    true, got = np.clip(true, -limit, limit), np.clip(got.astype(wide), -limit, limit)
    exponent = np.minimum(np.frexp(true)[1], info.maxexp) - 1
    return np.abs(got - true) / np.ldexp(wide(1), np.maximum(exponent, info.minexp) - info.nmant)


def samples(name, dtype):
    """Numbers all over the range, on every scale, and next to the points where the code switches formulas."""
    rng = np.random.default_rng(3)
    info, n = np.finfo(dtype), 20_000
    top = -np.log(info.smallest_subnormal.astype(np.float64)) + 2  # e^-top is 0
    bits = rng.integers(0, 2**32 if dtype == np.float32 else 2**64, n, dtype=np.uint64)
    everything = bits.astype(np.uint32).view(dtype) if dtype == np.float32 else bits.view(dtype)
    scales = np.exp(rng.uniform(-40, np.log(top), n)) * rng.choice([-1, 1], n)
    denormal = info.smallest_subnormal * np.arange(-50, 51, dtype=dtype)
    # rounding of n, the switches of tanh and erf, saturation, overflow, underflow, powers of 2 and of 2 sqrt(1/2)
    steps = np.arange(-1100, 1100) * (np.log(2) / 4)
    ends = [np.log(limit.astype(np.float64)) for limit in (info.max, info.tiny)]
    switches = [0.5, 1, 4, 6, 9.1, 19.1, 89, 104, 710, 746, *ends, top - 2]
    powers = np.ldexp(1.0, np.arange(info.minexp, info.maxexp))
    near = np.concatenate([steps, switches, np.negative(switches), powers, powers * np.sqrt(2)]).astype(dtype)
    around = [near, *(near * (1 + k * info.eps) for k in (-2, -1, 1, 2))]
    ranges = [rng.uniform(-limit, limit, n) for limit in (0.4, 2, 10, top)]
    x = np.concatenate([a.astype(dtype) for a in (everything, scales, denormal, *around, *ranges)])
    x = np.abs(x) if name == "log" else x
    return x[~np.isnan(x)]


@every_dtype
@every_function
def test_errors(name, dtype):
    if dtype == np.float64 and not LONG:
        pytest.skip("no wider type")
    x = samples(name, dtype)
    with np.errstate(all="ignore"):
        true = reference(name, x.astype(np.float64 if dtype == np.float32 else np.longdouble))
        known = np.isfinite(true)
        off = np.where(known, errors(compute(name, x), np.where(known, true, 1)), 0)
    worst = off.argmax()
    assert off[worst] <= LIMITS[name], f"{off[worst]} ulp off at {x[worst]!r}"


# 25 digits from mpmath, at numbers that are exact in float32, too
KNOWN = {
    "exp": {
        -80.5: "1.094697702953141678207421e-35",
        -1.125: "0.3246524673583497297970681",
        0.0009765625: "1.000977039492416535242845",
        0.375: "1.454991414618201336053794",
        1.0: "2.718281828459045235360287",
        60.25: "1.466366514568564032749643e+26",
    },
    "log": {
        9.094947017729282e-13: "-27.72588722239781237668928",
        0.375: "-0.9808292530117262368564511",
        0.703125: "-0.3522205935893520991121429",
        1.03125: "0.03077165866675368837102821",
        1.40625: "0.3409265869705932103050892",
        1000.0: "6.907755278982137052053974",
    },
    "tanh": {
        -3.5: "-0.9981778976111987092842734",
        -0.203125: "-0.2003767185204099265865357",
        0.0009765625: "0.0009765621895592602185840753",
        0.0625: "0.06241874674751251449014289",
        0.4375: "0.4115700556740224514320756",
        1.0: "0.7615941559557648881194583",
    },
    "logistic": {
        -80.5: "1.094697702953141678207421e-35",
        -2.25: "0.09534946489910949396961476",
        -0.125: "0.4687906266262437427549286",
        0.375: "0.59266659995406975876606",
        1.0: "0.7310585786300048792511592",
        20.0: "0.9999999979388463818097964",
    },
    "softplus": {
        -80.5: "1.094697702953141678207421e-35",
        -2.25: "0.1002065589167472116731528",
        -0.4375: "0.4981345475143753538531702",
        0.375: "0.8981232641398400436190417",
        1.0: "1.313261687518222834048995",
        20.0: "20.00000000206115362031438",
    },
    "erf": {
        -2.5: "-0.9995930479825550410604358",
        -0.75: "-0.7111556336535151315989378",
        0.0009765625: "0.001101932430071814704171253",
        0.9375: "0.8151024010343998041769596",
        1.0625: "0.8670582694349527553838465",
        3.5: "0.9999992569016276585872545",
    },
}


@every_dtype
@every_function
def test_known_values(name, dtype):
    for x, digits in KNOWN[name].items():
        got, true = compute(name, np.array([x], dtype)), np.array([np.longdouble(digits)])
        assert errors(got, true) <= LIMITS[name] + (0.01 if LONG else 0.5)


# Special values


TINY, INF, NAN = "tiny", np.inf, np.nan  # `tiny` is the least denormal number
SPECIAL = {
    "exp": [(0, 1), (-0.0, 1), (INF, INF), (-INF, 0), ("max", INF), ("-max", 0), (TINY, 1), ("-tiny", 1)],
    "log": [(1, 0), (0, -INF), (-0.0, -INF), (INF, INF), (-1, NAN), ("-tiny", NAN), ("-max", NAN), (-INF, NAN)],
    "tanh": [(0, 0), (-0.0, -0.0), (INF, 1), (-INF, -1), ("max", 1), ("-max", -1), (TINY, TINY), ("-tiny", "-tiny")],
    "logistic": [(0, 0.5), (-0.0, 0.5), (INF, 1), (-INF, 0), ("max", 1), ("-max", 0), (TINY, 0.5), ("-tiny", 0.5)],
    "softplus": [(INF, INF), (-INF, 0), ("max", "max"), ("-max", 0)],
    "erf": [(0, 0), (-0.0, -0.0), (INF, 1), (-INF, -1), ("max", 1), ("-max", -1), (TINY, TINY), ("-tiny", "-tiny")],
}


@every_dtype
@every_function
def test_special_values(name, dtype):
    info = np.finfo(dtype)
    words = {"tiny": info.smallest_subnormal, "-tiny": -info.smallest_subnormal, "max": info.max, "-max": info.min}
    x, wanted = (
        np.array([words.get(value, value) for value in column], dtype) for column in zip(*SPECIAL[name], strict=True)
    )
    got = compute(name, x)
    np.testing.assert_array_equal(got, wanted)
    numbers = ~np.isnan(wanted)
    np.testing.assert_array_equal(np.signbit(got[numbers]), np.signbit(wanted[numbers]))


@every_dtype
@every_function
def test_nan_stays_nan_and_alone(name, dtype):
    x = np.linspace(0.1, 3, 200).astype(dtype)
    wanted = compute(name, x)
    # quiet and signalling, of either sign, with other bits set
    patterns = {
        np.float32: np.array([0x7FC00000, 0xFFC00000, 0x7F800001, 0xFFFFFFFF, 0x7FD55555, 0xFFABCDEF], np.uint32),
        np.float64: np.array(
            [0x7FF8 << 48, 0xFFF8 << 48, (0x7FF0 << 48) + 1, 2**64 - 1, 0x7FFD555555555555, 0xFFFABCDEFABCDEF0],
            np.uint64,
        ),
    }
    nans = patterns[dtype].view(dtype)
    x[3:180:30] = nans
    wanted[3:180:30] = np.nan
    np.testing.assert_array_equal(compute(name, x), wanted)


# Arrays


def check_edges(call, dtype):
    """Every length around a few vectors, in guarded arrays: results as in one long array, and nothing else written."""
    x = np.linspace(-3, 3, 2 * processor.VECTOR_BYTES // np.dtype(dtype).itemsize + 3).astype(dtype)
    long = Arena(dtype)
    wanted = long.space(x.size)
    call(long.put(x), wanted)
    for n in range(x.size + 1):
        arena = Arena(dtype)
        a, out, both = arena.put(x[:n]), arena.space(n), arena.put(x[:n], written=True)
        call(a, out)
        call(both, both)
        np.testing.assert_array_equal(out, wanted[:n])
        np.testing.assert_array_equal(both, wanted[:n])
        arena.check()


@every_dtype
@every_function
def test_lengths_margins_and_in_place(name, dtype):
    with np.errstate(all="ignore"):
        check_edges(getattr(ufunc, name), dtype)


@pytest.mark.parametrize("shape", [(), (3, 5, 7)])
def test_any_shape(shape):
    x = np.random.default_rng(0).normal(size=shape)
    np.testing.assert_array_equal(compute("tanh", np.array(x)), compute("tanh", x.reshape(-1)).reshape(shape))


@every_function
def test_other_shapes_are_refused(name):
    for shape in ((4,), (2,)):
        out = np.full(shape, 7.0)
        with pytest.raises(ValueError, match=rf"{name}: out must have the shape of x; .*\(3,\), \({shape[0]},\)"):
            getattr(ufunc, name)(np.ones(3), out)
        assert (out == 7).all()


def test_another_number_of_dimensions_is_refused():
    with pytest.raises(ValueError, match="logistic: out must have the shape of x"):
        ufunc.logistic(np.ones((3, 1)), np.ones(3))


def read_only(x):
    x.flags.writeable = False
    return x


@pytest.mark.parametrize(
    ("x", "out"),
    [
        (np.ones(6)[::2], np.ones(3)),
        (np.ones((2, 3)).T, np.ones((3, 2))),
        (np.ones(3, np.float32), np.ones(3)),
        (np.ones(3, np.int64), np.ones(3, np.int64)),
        (np.ones(3), read_only(np.ones(3))),
        (1.0, np.ones(1)),
    ],
    ids=["strided", "transposed", "two dtypes", "integers", "read-only", "number"],
)
def test_unsuitable_arrays_are_refused(x, out):
    with pytest.raises(
        TypingError,
        match="erf: x and out must be C-contiguous arrays of one dtype, float32 or float64, and out writable",
    ):
        ufunc.erf(x, out)


def test_x_may_be_read_only():
    assert compute("exp", read_only(np.zeros(3))).tolist() == [1, 1, 1]


@njit
def user_function(times, x, out):
    for _ in range(times):
        ufunc.exp(x, out)
        ufunc.log(out, out)
        ufunc.tanh(out[1:4], out[1:4])
        ufunc.logistic(out, out)
        ufunc.softplus(out, out)
        ufunc.erf(out, out)


def test_from_njit_without_allocation(allocations):
    x, out = np.linspace(-2, 2, 21), np.empty(21)
    counts = [allocations(user_function, times, x, out) for times in (1, 1000)]
    assert counts[0] == counts[1]  # one block per argument
    wanted = compute("log", compute("exp", x))
    wanted[1:4] = compute("tanh", wanted[1:4].copy())
    for name in ("logistic", "softplus", "erf"):
        wanted = compute(name, wanted)
    np.testing.assert_array_equal(out, wanted)


# Vector widths


def digests():
    """
    Hashes of the bits of all results at this process's vector width.

    The routines are called without Numba, which would take long to compile their callers.
    """
    found = []
    for name in NAMES:
        for dtype in DTYPES:
            itemsize = np.dtype(dtype).itemsize
            _native.ready(f"layer.ufunc.{name}", itemsize)
            address = llvm.address_of_symbol(_native._symbol(f"layer.ufunc.{name}", itemsize))
            routine = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(address)

            def call(x, out, routine=routine):
                routine(x.ctypes.data, out.ctypes.data, x.size)

            check_edges(call, dtype)
            x = samples(name, dtype)
            out = np.empty_like(x)
            call(x, out)
            found.append(hashlib.sha256(out.tobytes()).hexdigest())
    return found


@pytest.fixture(scope="module")
def own_digests():
    return digests()


@pytest.mark.parametrize("width", [16, *(pytest.param(x, marks=pytest.mark.thorough) for x in (32, 64))])
def test_every_width_has_the_same_bits(width, own_digests):
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); "
    code += "import test_elementary; print(*test_elementary.digests())"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=os.environ | {"FASTBP_VECTOR_BYTES": str(width)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == own_digests
