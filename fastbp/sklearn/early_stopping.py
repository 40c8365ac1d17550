"""Early stopping: the validation set, its loss and score, and the best weights; and what a callback gets."""

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
from ..training.state import Epoch


class EarlyStopping:
    """What both estimators do between two passes."""

    def _split(
        self: Any, X: Array, y: Array, sample_weight: Array | None, incremental: bool
    ) -> tuple[list[Any], list[Any] | None]:
        """The training set (X, y, weights) and the validation set (also with y as `predict` returns it)."""
        if not self.early_stopping:
            return [X, y, sample_weight], None
        random = self._random_state
        if incremental:  # for the same samples, the same validation set
            if not hasattr(self, "_split_seed"):
                self._split_seed = random.randint(np.iinfo(np.int32).max)
            random = self._split_seed
        stratify = y if is_classifier(self) and self.n_outputs_ == 1 else None
        arrays = [X, y] if sample_weight is None else [X, y, sample_weight]
        parts = train_test_split(*arrays, random_state=random, test_size=self.validation_fraction, stratify=stratify)
        training, validation = [*parts[::2], None][:3], [*parts[1::2], None][:3]
        if validation[0].shape[0] < 2:
            hint = "Increase 'validation_fraction' or the size of your dataset."
            raise ValueError(f"The validation set is too small. {hint}")
        Y = validation[1]
        return training, [*validation, self._label_binarizer.inverse_transform(Y) if is_classifier(self) else Y]

    def _validate(self: Any, X: Any, Y: Array, weight: Array | None, y: Array) -> None:
        """Validation loss and score; scikit-learn keeps the weights of the best score."""
        out = self._forward_pass_fast(X, check_input=False)
        shares = np.ones(len(out)) if weight is None else weight * (len(out) / weight.sum())
        loss, _ = self._architecture().measure(out, Y.astype(out.dtype), shares.astype(out.dtype))
        self.validation_loss_curve_.append(loss / self._mean_over())
        self._update_no_improvement_count(True, X, y, weight)

    def _score(self: Any, X: Any, y: Array, sample_weight: Array | None = None) -> float:
        """The validation score, which scikit-learn asks for under this name."""
        if self.scoring is None:
            return super()._score(X, y, sample_weight=sample_weight)  # type: ignore[misc]
        if self.scoring == "loss":
            return -self.validation_loss_curve_[-1]
        scorer = get_scorer(self.scoring) if isinstance(self.scoring, str) else self.scoring
        names = vars(self).pop("feature_names_in_", None)  # X was a frame, and is an array now
        try:
            weights = {} if sample_weight is None else {"sample_weight": sample_weight}
            return float(scorer(self, X, y, **weights))
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
