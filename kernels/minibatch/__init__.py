"""Learning with an update per batch of samples."""
