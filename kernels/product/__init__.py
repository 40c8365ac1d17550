"""Products of matrices, C = A B."""
