"""Where the set-up puts things, and where it writes down what could not be had."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
SERVERS = ROOT / "build" / "servers"
PYTHON = SERVERS / "python"
"""A virtual environment of its own for the servers, for MiniStack pins a botocore that is not ours."""
S3RVER = SERVERS / "s3rver"
REASONS = ROOT / "build" / "needs.json"
"""{name of a need: why it could not be had}, of the last set-up."""
