"""The systems that the paper compares with: each from its network to its training."""
