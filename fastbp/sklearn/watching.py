"""Early stopping: the samples set aside, their loss and score, and the weights of the best; what a callback sees."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import get_scorer
from sklearn.model_selection import train_test_split

import fastbp.kernels as kernels

from .. import checks
from ..training.passes import Array
from ..training.standing import Epoch


class Watching:
    """What both estimators do between two passes."""

    def _split(
        self: Any, X: Array, y: Array, sample_weight: Array | None, incremental: bool
    ) -> tuple[list[Any], list[Any] | None]:
        """Samples to learn from, and those set aside for early stopping: X, y, weights, and of the latter y as predicted."""
        if not self.early_stopping:
            return [X, y, sample_weight], None
        random = self._random_state
        if incremental:  # the same samples are set aside whenever the same are given
            if not hasattr(self, "_split_seed"):
                self._split_seed = random.randint(np.iinfo(np.int32).max)
            random = self._split_seed
        stratify = y if is_classifier(self) and self.n_outputs_ == 1 else None
        given = [X, y] if sample_weight is None else [X, y, sample_weight]
        parts = train_test_split(*given, random_state=random, test_size=self.validation_fraction, stratify=stratify)
        training, held = [*parts[::2], None][:3], [*parts[1::2], None][:3]
        if held[0].shape[0] < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        return training, [*held, self._label_binarizer.inverse_transform(held[1]) if is_classifier(self) else held[1]]

    def _watch(self: Any, X: Any, Y: Array, weight: Array | None, y: Array) -> None:
        """Loss and score of the samples set aside; scikit-learn keeps the weights of the best score."""
        out = self._forward_pass_fast(X, check_input=False)
        shares = np.ones(len(out)) if weight is None else weight * (len(out) / weight.sum())
        loss, _ = self._architecture().measure(out, Y.astype(out.dtype), shares.astype(out.dtype))
        self.validation_loss_curve_.append(loss / self._mean_over())
        self._update_no_improvement_count(True, X, y, weight)

    def _score(self: Any, X: Any, y: Array, sample_weight: Array | None = None) -> float:
        """What early stopping watches, which scikit-learn asks for under this name."""
        if self.scoring is None:
            return super()._score(X, y, sample_weight=sample_weight)  # type: ignore[misc]
        if self.scoring == "loss":
            return -self.validation_loss_curve_[-1]
        scorer = get_scorer(self.scoring) if isinstance(self.scoring, str) else self.scoring
        names = vars(self).pop("feature_names_in_", None)  # X was a frame, and is an array by now
        try:
            return float(
                scorer(self, X, y) if sample_weight is None else scorer(self, X, y, sample_weight=sample_weight)
            )
        finally:
            if names is not None:
                self.feature_names_in_ = names

    def _epoch(self: Any, found: kernels.Pass, started: float, params: Array) -> Epoch:
        early = self.early_stopping
        return Epoch(
            self.n_iter_,
            float(self.loss_),
            float(found.correct) if is_classifier(self) else None,
            self.validation_loss_curve_[-1] if early else None,
            None,
            self.validation_scores_[-1] if early else None,
            time.perf_counter() - started,
            checks.frozen(params),
        )
