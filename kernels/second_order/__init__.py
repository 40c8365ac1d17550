"""Second order: rows of the Jacobian, Gauss-Newton matrices, and their Cholesky factors."""
