"""Experiments of the lectures that also run outside a notebook: python -m metrized.examples.NAME."""
