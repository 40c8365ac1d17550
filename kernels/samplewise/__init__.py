"""Learning with an update per sample."""
