"""Cross-validation, trained models and predictions: all that writes results."""
