"""
Benchmarks for asv, one file per subject: kernels, training, prediction, compilation, ...

Data are synthetic and seeded. Every ``setup`` calls what it measures once, so that timings include no compilation;
`bench_compile` measures that.
"""

from numba.core.registry import cpu_target

# Initialises Numba's compiler in the process that asv forks for each benchmark, which takes a third of a second.
cpu_target.target_context.refresh()
