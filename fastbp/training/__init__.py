"""The training of one network: checks, the loop over epochs, and the ways to stop and resume."""
