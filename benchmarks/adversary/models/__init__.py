"""Random PyTorch models, and the attack on what their layers and certificates promise."""
