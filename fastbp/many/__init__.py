"""Many networks at once: on threads, side by side in vectors, or on other machines."""
