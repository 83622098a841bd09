"""Model packs: which files, how they are prepared, and the sessions that run them."""

import os

# ONNX Runtime records its use and uploads the records to its maker, unless this is set before it
# is imported. Nothing about a site leaves it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
