"""Checking a run folder: what anybody can recompute from bytes that nobody vouches for."""
