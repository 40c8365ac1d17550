"""Optimizers that take all samples at once and know the curvature of the loss, or find it out: an epoch is a step."""
