"""To the Hugging Face Hub and back: cards, push, pull."""

from synthforge_hf.hub.pull import PullReport, pull
from synthforge_hf.hub.push import PushReport, push

__all__ = ["PullReport", "PushReport", "pull", "push"]
