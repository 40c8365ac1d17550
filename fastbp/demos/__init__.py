"""The gallery of the lecture: a short script per theme, for `fastbp demo NAME` and the documentation."""
