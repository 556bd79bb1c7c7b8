"""Public and synthetic data sets: one file per set, and a registry that knows them all by name."""
