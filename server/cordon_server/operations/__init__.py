"""How the server is watched: logs and health."""
