"""Measurements that run from a source checkout; no part of the installed package."""
