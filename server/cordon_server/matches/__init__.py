"""The match log of a deployment: the only thing that recognition leaves behind."""
