"""Readers of public benchmarks, in the folders their authors ship."""
