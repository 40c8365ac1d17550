"""What belongs to one layer: activations, losses, gradients and updates."""
