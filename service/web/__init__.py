"""HTTP in: the callback door, the native API, health. It translates and never decides; it opens no transaction but by the
verbs of `flow/`, and reads the store.

Absent on purpose: `BaseHTTPMiddleware` (15 times slower than plain ASGI), access logs with paths (tokens are in them).
"""
