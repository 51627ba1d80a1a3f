"""Locate instantaneous events from counts or misaligned labels."""

__version__ = "0.1.0"

from softloc_jax import events, losses, poisson_binomial, smoothing

__all__ = ["events", "losses", "poisson_binomial", "smoothing"]
