"""The systems that the paper compares with: one module each, from its network to its recipe."""
