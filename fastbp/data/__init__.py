"""What the user passes as samples, made ready for the kernels."""
