"""The process around a training: settings, progress, interruption, and memory in blocks."""
