"""A small Hugging Face Hub for tests: the protocol that the real client speaks, served on loopback, with faults.

Stand-alone, for instance to point the tests at it by HF_ENDPOINT: python -m hub_server --port 8000 (from tests/).
"""
