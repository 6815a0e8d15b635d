"""Synthetic faces with exact 3D labels, and models trained on them."""
