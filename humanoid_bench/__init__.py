"""Measures the house: the whole graph in one process and simulated time, and benches over it."""
