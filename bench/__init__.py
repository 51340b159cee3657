"""Benchmarks: counters first (exact), CPU per order second, wall rates last (performance.md)."""
