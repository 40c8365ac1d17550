"""The user's samples, made ready for the kernels."""
