"""Servers that a test starts: those of a rehearsal."""

from phases.rehearsal.process import HOST, Server, free_port

__all__ = ["HOST", "Server", "free_port"]
