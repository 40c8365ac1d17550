"""The gallery of the lecture: a short script per theme, run by `fastbp demo NAME` and by the documentation."""
