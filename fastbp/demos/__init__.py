"""The gallery of the lecture: a script for each topic, for `fastbp demo NAME` and the documentation."""
