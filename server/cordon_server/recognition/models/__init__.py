"""Model packs: which files, how they are prepared, and the sessions that run them."""
