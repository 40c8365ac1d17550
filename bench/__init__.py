"""
Benchmarks for asv, one file per subject: kernels, training, prediction, compilation, ...

Data are synthetic and seeded. Every ``setup`` calls what it measures once, so that timings include no compilation;
`bench_compile` measures that.
"""

import numpy as np

from fastbp import kernels

# Initialises Numba's compiler in the process that asv forks for each benchmark, which takes half a second.
kernels.exp(np.zeros(1), np.zeros(1))
