"""What can be asked over HTTP: one module a subject, each request handed on to a node."""
