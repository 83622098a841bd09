"""What may be recognised: cameras, deployments and their watchlists, and the rules over them."""
