"""The proxy of a rehearsal, before a server of the tests."""

from phases.rehearsal.proxy import Plan, Proxy, Request, calm, stormy

__all__ = ["Plan", "Proxy", "Request", "calm", "stormy"]
