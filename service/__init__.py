"""Callsheet: the event service for Seedance video tasks. Start with `service/README.md`."""

__version__ = "0.1.0"
