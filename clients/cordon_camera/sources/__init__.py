"""Sources of pictures, one module per kind, opened by one function."""

from __future__ import annotations

from cordon_camera.settings import SourceKind, SourceSettings, StreamSettings
from cordon_camera.sources.picture import Picture, Source


def open_source(source: SourceSettings, stream: StreamSettings) -> Source:
    """The opened source; raises SourceError with the fault.

    Each kind's module is imported only when it is used.
    """
    match source.kind:
        case SourceKind.FILE:
            from cordon_camera.sources.file import FileSource

            return FileSource(source, stream)
        case SourceKind.FOLDER:
            from cordon_camera.sources.folder import FolderSource

            return FolderSource(source, stream)
        case SourceKind.WEBCAM:
            from cordon_camera.sources.webcam import WebcamSource

            return WebcamSource(source, stream)
        case SourceKind.RTSP:
            from cordon_camera.sources.rtsp import RtspSource

            return RtspSource(source, stream)
        case SourceKind.MJPEG:
            from cordon_camera.sources.mjpeg import MjpegSource

            return MjpegSource(source, stream)


__all__ = ["Picture", "Source", "open_source"]
