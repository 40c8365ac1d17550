"""What a training gives back: networks and ensembles, their predictions, and the files that keep them."""
