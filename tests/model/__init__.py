"""The whole service against a small model of what must be true, in whatever order things happen."""
