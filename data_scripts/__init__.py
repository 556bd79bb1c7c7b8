"""Public and synthetic data sets: one file a set, and a registry that knows them all by name."""
