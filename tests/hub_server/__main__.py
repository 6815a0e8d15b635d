"""Serve until interrupted, and print what the tests need to be pointed at it."""

import argparse

from hub_server.server import HubServer

parser = argparse.ArgumentParser(description="A Hugging Face Hub in memory, on loopback, for tests.")
parser.add_argument("--port", type=int, default=0)
with HubServer(port=parser.parse_args().port) as server:
    print(f"HF_ENDPOINT={server.endpoint} HF_TOKEN={next(iter(server.store.users))}", flush=True)
    server.wait()
