"""
Benchmarks for asv, kept apart by what they measure: kernels, training, prediction, compilation.

Data are synthetic and seeded. Every ``setup`` calls what it measures once, so that no timing holds JIT time;
`bench_compile` measures that on its own.
"""

import numpy as np

from fastbp import kernels

# Readies Numba's compiler in the process from which asv forks one for each benchmark: it takes half a second.
kernels.exp(np.zeros(1), np.zeros(1))
