"""Every gateway end to end: an order over HTTP to the service, over HTTP to a simulated gateway, and its news back over HTTP."""
