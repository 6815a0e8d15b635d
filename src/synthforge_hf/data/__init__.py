"""Recipes, data sets on disk and their verification, and readers of public benchmarks."""
