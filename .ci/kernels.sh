# The kernels' tests, tests/test_NAME.py: .ci/run runs them at other vector widths, .ci/arm on an emulated ARM processor.
kernels=(activation_loss assembler backprop blocking custom_loss dot dropout elementary epochs extremes forward gauss_newton gradient_rule inference
  lanes lecture long_sums matmul node online optimizer piecewise processor random routine sparse sparse_epoch)
