"""Floor 7: HTTPS, WebSocket and the fan-out of feeds; reaches nodes only as a client does (C7)."""
