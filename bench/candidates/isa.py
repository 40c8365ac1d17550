"""Instruction sets: how all candidates are held to AVX2 on a processor that has more, and what they run."""

import ctypes
import os
import re
import sys
from pathlib import Path

# oneDNN is in PyTorch and OpenVINO, OpenBLAS in NumPy, whose wheel has the kernels for Haswell also for AMD's Zen 1 to
# 3. MKL heeds its variable on Intel's processors only: on others it has one choice, generic kernels that use AVX2.
AVX2 = {
    "BENCH_ISA": "avx2",
    "FASTBP_VECTOR_BYTES": "32",
    "OPENBLAS_CORETYPE": "Haswell",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
}
XLA_AVX2 = "--xla_cpu_max_isa=AVX2"

# No setting reaches the products of these: ONNX Runtime's MLAS, XLA's YNNPACK, and OpenVINO's code around oneDNN.
WITHOUT_SETTING = {
    "onnx": ["onnxruntime/capi/onnxruntime_pybind11_state*.so"],
    "jax": ["jaxlib/libjax_common.so"],
    "openvino": ["openvino/libs/libopenvino.so.*", "openvino/libs/libopenvino_intel_cpu_plugin.so"],
}
# xor ecx, ecx and then xgetbv ask which registers the operating system saves.
QUESTION = re.compile(rb"\x31\xc9.{0,8}?\x0f\x01\xd0", re.DOTALL)
# push 7, pop rax: the answer of a system that saves the registers of AVX, but not those of AVX-512.
ANSWER = b"\x6a\x07\x58"
READ, WRITE, EXECUTE = 1, 2, 4


def choose(name):
    """Set the variables, which the processes of the candidates inherit, for "avx2", or unset them for "native"."""
    for variable, value in AVX2.items():
        os.environ.pop(variable, None)
        if name == "avx2":
            os.environ[variable] = value


def held():
    """Whether the candidates are held to AVX2."""
    return os.environ.get("BENCH_ISA") == AVX2["BENCH_ISA"]


def hold(candidate):
    """
    Let a library without a setting find no AVX-512, in this process, if the candidates are held to AVX2.

    The library is loaded, and changed in memory before it asks the operating system whether the registers are saved. It
    then runs what it runs on a processor with AVX2.

    Returns
    -------
    str
        What was done; empty if nothing.
    """
    if not held():
        return ""
    patterns = [pattern for name, some in WITHOUT_SETTING.items() if name in candidate for pattern in some]
    paths = [path for folder in map(Path, sys.path) for pattern in patterns for path in folder.glob(pattern)]
    for path in paths:
        ctypes.CDLL(str(path))
    count = sum(map(_answer, map(os.path.realpath, paths)))
    return (
        f"AVX-512 hidden in {count} places of {', '.join(path.name.split('.')[0] for path in paths)}" if paths else ""
    )


def _answer(path):
    """Replace each question in a loaded library by the answer, and return the number of questions."""
    protect = ctypes.CDLL(None).mprotect
    protect.argtypes, count = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int), 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        if not (line.endswith(path) and "x" in line.split()[1]):
            continue
        start, end = (int(address, 16) for address in line.split()[0].split("-"))
        code = (ctypes.c_char * (end - start)).from_address(start)
        places = [start + found.end() - len(ANSWER) for found in QUESTION.finditer(code)]
        protect(start, end - start, READ | WRITE | EXECUTE)
        for place in places:
            ctypes.memmove(place, ANSWER, len(ANSWER))
        protect(start, end - start, READ | EXECUTE)
        count += len(places)
    return count


def blas():
    """OpenBLAS and BLIS as loaded in this process, with the processors that their kernels are for."""
    from threadpoolctl import threadpool_info

    names = {"openblas": "OpenBLAS", "blis": "BLIS"}
    found = (library for library in threadpool_info() if library["internal_api"] in names)
    return ", ".join(sorted(f"{names[b['internal_api']]} {b['version']} {b['architecture']}" for b in found))
