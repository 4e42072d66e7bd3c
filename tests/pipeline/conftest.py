"""Fixtures of edgeprune's own pytest plugin, where the tests run without it being installed."""

from edgeprune.pytest_plugin import edgeprune_check

__all__ = ["edgeprune_check"]
