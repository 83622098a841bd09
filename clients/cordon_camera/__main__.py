"""The streaming process; see `process`."""

from __future__ import annotations

from cordon_camera.process import main

main()
