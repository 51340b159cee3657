"""HTTP/1.1 and WebSocket on Trio, every limit in sight; knows nothing of an exchange."""
