"""What surrounds a training: configuration, progress bars, Ctrl-C, and samples in blocks."""
