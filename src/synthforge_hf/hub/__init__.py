"""To the Hugging Face Hub and back: cards, push, pull."""

from synthforge_hf.hub.pulling import PullReport, pull
from synthforge_hf.hub.pushing import PushReport, push

__all__ = ["PullReport", "PushReport", "pull", "push"]
