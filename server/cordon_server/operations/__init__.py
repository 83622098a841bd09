"""How the server is watched: logs, health and metrics."""
