"""A trained network taken into use elsewhere: ONNX, C, NumPy, scikit-learn and PyTorch; and networks taken over from the last two."""
