"""The camera client: pictures from a source, as JPEG, to the server; no models, nothing on disk."""
