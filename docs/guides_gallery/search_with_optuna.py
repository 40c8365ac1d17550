"""
Search with Optuna: stop trials early, or run several at once
=============================================================

``fastbp.search`` draws options at random and stops poor trials early. `Optuna <https://optuna.org>`_
learns from each trial where to look next, can keep a study in a database, and supports conditional
options. You can combine the two in two ways, each in a few lines: Optuna prunes a run through
``callback``, or it asks for several networks that ``fastbp.train_many`` trains side by side.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
import optuna
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import fastbp

optuna.logging.set_verbosity(optuna.logging.WARNING)
data = load_digits(return_X_y=True)
X, Xv, y, yv = train_test_split(*data, test_size=0.3, random_state=0)
EPOCHS, TRIALS = 27, 32
common = {"validation": (Xv, yv), "epochs": EPOCHS, "seed": 0, "progress": False}


def suggested(trial):
    """Options of ``fastbp.train``, suggested by Optuna."""
    layers = trial.suggest_int("layers", 1, 2)
    return {
        "hidden": [trial.suggest_int(f"units {l}", 4, 64, log=True) for l in range(layers)],
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
        "l2": trial.suggest_float("l2", 1e-6, 1e-2, log=True),
    }


# %%
# Pruning. After each epoch the callback reports the validation loss, and returns True to stop the run if
# Optuna finds it poor. The pruner here is asynchronous successive halving (ASHA).


def objective(trial):
    """Validation loss of a trial's best epoch."""

    def report(epoch):
        trial.report(epoch.validation_loss, epoch.epoch)
        return trial.should_prune()

    net = fastbp.train(X, y, callback=report, **suggested(trial), **common)
    if net.stop_reason == "callback":
        raise optuna.TrialPruned
    return net.history["validation_loss"].min()


sampler = optuna.samplers.TPESampler(seed=0)
pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=3, reduction_factor=3)
pruned = optuna.create_study(sampler=sampler, pruner=pruner)
started = time.perf_counter()
pruned.optimize(objective, TRIALS)
seconds = time.perf_counter() - started
epochs = sum(trial.last_step for trial in pruned.trials)
print(f"pruned: {TRIALS} trials, {epochs} of {TRIALS * EPOCHS} epochs, {seconds:.1f} s")
print(f"best loss {pruned.best_value:.4f} with {pruned.best_params}")

# %%
# Several at once. ``ask`` returns trials without an objective, one call of ``train_many`` trains a
# network for each, one per thread (or on a cluster, with ``engine=client``), and ``tell`` reports the
# losses. Trials of a batch do not know each other's results, so use batches that are small compared with
# the number of trials; ``constant_liar`` keeps the sampler from suggesting similar options for all of
# them. A network that diverges is reported as failed, and the others continue.

batched = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0, constant_liar=True))
started = time.perf_counter()
for _ in range(TRIALS // 4):
    trials = [batched.ask() for _ in range(4)]
    nets = fastbp.train_many(X, y, [suggested(trial) for trial in trials], **common)
    for k, trial in enumerate(trials):
        if k in nets.failures:
            batched.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            batched.tell(trial, nets[k].history["validation_loss"].min())
seconds = time.perf_counter() - started
print(f"batches of four: {TRIALS} trials, {TRIALS * EPOCHS} epochs, {seconds:.1f} s")
print(f"best loss {batched.best_value:.4f} with {batched.best_params}")

# %%
# Train the network again with the best options. A finished trial answers like a running one.

net = fastbp.train(X, y, **suggested(batched.best_trial), **common)
print(f"accuracy on the validation samples: {net.score(Xv, yv):.3f}")

# %%
# The pruned trials, and the best loss so far of both studies against the epochs that they took. The
# validation samples selected the winner, so its score is optimistic; confirm it on other samples.

_, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
for trial in pruned.trials:
    steps, losses = zip(*sorted(trial.intermediate_values.items()), strict=True)
    done = trial.state == optuna.trial.TrialState.COMPLETE
    left.semilogy(steps, losses, color="C0" if done else "0.7", linewidth=1.5 if done else 1)
left.set(title="pruned trials end early (grey)", xlabel="epoch", ylabel="validation loss")
for study, name in ((pruned, "pruned"), (batched, "batches of four")):
    losses = [np.inf if trial.value is None else trial.value for trial in study.trials]
    taken = [trial.last_step or EPOCHS for trial in study.trials]
    right.step(np.cumsum(taken), np.minimum.accumulate(losses), where="post", label=name)
right.set(title="best so far", xlabel="epochs of all trials", ylabel="validation loss")
right.legend()
plt.show()
