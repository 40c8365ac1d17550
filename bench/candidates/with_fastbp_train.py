"""`fastbp.train` as users call it: scaling, drawing the weights and the order of each epoch, and the history."""

from dataclasses import replace

from cases import LEARNING_RATE
from with_fastbp import ran, version

import fastbp

__all__ = ["EPOCHS", "minibatch", "ran", "version"]

EPOCHS = 10  # of a call, by which its time is divided


def minibatch(case, threads):
    X, Y, order = case.data()
    y = Y if case.output == "identity" else Y.argmax(axis=1)
    options = {"hidden": case.sizes[1:-1], "activation": case.hidden, "output": case.output, "loss": case.loss}
    options |= {"optimizer": case.optimizer, "learning_rate": LEARNING_RATE[case.optimizer], "batch_size": case.batch}
    options |= {"seed": 0, "threads": threads, "progress": False}

    def first_epoch():
        """All parameters after an epoch from the weights and in the order of the other candidates."""
        drawn = fastbp.train(X, y, **options, scale=False, epochs=0)
        init = replace(drawn, params=case.params())
        return fastbp.train(X[order], y[order], **options, init=init, shuffle=False, epochs=1).params

    return lambda: fastbp.train(X, y, **options, epochs=EPOCHS), first_epoch
