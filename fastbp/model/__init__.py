"""What training returns: networks and ensembles, their predictions, and model files."""
