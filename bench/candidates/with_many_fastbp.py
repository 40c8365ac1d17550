"""fastbp, by its front door."""

from many_works import read_spambase, training_rows
from with_fastbp import version

import fastbp

__all__ = ["many", "version"]


def many(work, threads):
    groups, options, found = work.groups(), work.options(), []
    seeds = [seed for group in groups for seed in group.seeds]
    if work.name == "folds":
        X, y = read_spambase(work.data)
        rows = list(training_rows(y))
        variants = [{"seed": seed, "rows": rows[seed]} for seed in seeds]
    else:
        X, y = groups[0].raw, groups[0].labels
        variants = [{"seed": seed} for seed in seeds]

    def step():
        found[:] = [fastbp.train_many(X, y, variants, threads=threads, progress=False, **options).params]

    return step, lambda: found[0]
