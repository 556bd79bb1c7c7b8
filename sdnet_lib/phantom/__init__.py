"""Synthetic chest radiographs with known truth, and a hospital that takes them."""
