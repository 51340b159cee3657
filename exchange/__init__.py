"""A crash-recoverable distributed stock exchange."""

if not __debug__:
    raise SystemExit("exchange: refuses to run under python -O, its assertions are part of it")

__version__ = "0.1.0"
