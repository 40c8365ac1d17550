"""fastbp: `train_many`."""

from many_cases import read_spambase, training_rows
from with_fastbp import version

import fastbp

__all__ = ["many", "version"]


def many(case, threads):
    fastbp.warmup("float32", progress=False)
    groups, options, params = case.groups(), case.options(), None
    seeds = [seed for group in groups for seed in group.seeds]
    if case.name == "folds":
        X, y = read_spambase(case.data)
        rows = list(training_rows(y))
        variants = [{"seed": seed, "rows": rows[seed]} for seed in seeds]
    else:
        X, y = groups[0].raw, groups[0].labels
        variants = [{"seed": seed} for seed in seeds]

    def step():
        nonlocal params
        params = fastbp.train_many(X, y, variants, threads=threads, progress=False, **options).params

    return step, lambda: params
