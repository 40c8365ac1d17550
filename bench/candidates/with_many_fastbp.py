"""fastbp, by its front door."""

import numpy as np
from with_fastbp import version

import fastbp

__all__ = ["many", "networks", "version"]


def networks(X, y, variants, threads, **options):
    """A network for each of `variants`: options of `fastbp.train` that it has beside those of all."""
    return [fastbp.train(X, y, threads=threads, progress=False, **options | variant) for variant in variants]


def many(work, threads):
    groups, options, params = work.groups(), work.options(), []

    def trained(group):
        variants = [{"seed": seed} for seed in group.seeds]
        if group.shared:
            return networks(group.raw, group.labels, variants, threads, **options)
        tables = zip(variants, group.tables(group.raw, group.labels), strict=True)
        return [net for variant, table in tables for net in networks(*table, [variant], threads, **options)]

    def step():
        params[:] = [net.params for group in groups for net in trained(group)]

    return step, lambda: np.array(params)
