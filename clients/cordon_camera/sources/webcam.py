"""A webcam by V4L2: MJPEG as it delivers it where it can, raw pictures otherwise."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import av

from cordon_camera.faults import Fault, SourceError
from cordon_camera.settings import SourceSettings, StreamSettings
from cordon_camera.sources.container import Container
from cordon_camera.sources.picture import Picture

_FAULT_OF_ERRNO = {
    errno.ENOENT: Fault.DEVICE_MISSING,
    errno.ENODEV: Fault.DEVICE_MISSING,
    errno.ENXIO: Fault.DEVICE_MISSING,
    errno.EBUSY: Fault.DEVICE_BUSY,
    errno.EACCES: Fault.DEVICE_GROUP,
    errno.EPERM: Fault.DEVICE_GROUP,
    errno.ENOTTY: Fault.NOT_A_CAMERA,
    errno.EINVAL: Fault.NOT_A_CAMERA,
}
# MJPEG first: it passes through untouched, and over USB raw 1080p comes at 5 pictures a second.
_FORMATS: tuple[dict[str, str], ...] = (
    {"input_format": "mjpeg", "video_size": "1920x1080"},
    {"input_format": "mjpeg"},
    {},
)


class WebcamSource:
    """Pictures of one V4L2 device."""

    def __init__(self, source: SourceSettings, stream: StreamSettings) -> None:
        self._described = source.describe()
        check_device(source.device_path, self._described)
        self._container = self._open(source.device_path, stream.threads)

    def frames(self) -> Iterator[Picture]:
        for picture, _ in self._container.pictures():
            yield picture
            del picture
        if not self._container.stopped.is_set():
            raise SourceError(Fault.CONNECTION_LOST, self._described)

    def close(self) -> None:
        self._container.close()

    def _open(self, device: Path, threads: int) -> Container:
        fault = Fault.NOT_A_CAMERA
        for options in _FORMATS:
            try:
                return Container(
                    str(device),
                    self._described,
                    format="v4l2",
                    options=options,
                    threads=threads,
                )
            except (av.FFmpegError, OSError) as error:
                fault = _FAULT_OF_ERRNO.get(error.errno or 0, Fault.NOT_A_CAMERA)
                if fault is not Fault.NOT_A_CAMERA:
                    break
        raise SourceError(fault, self._described) from None


def check_device(device: Path, described: str) -> None:
    """Raises SourceError where the device is missing, busy or not this user's to open."""
    try:
        if not stat.S_ISCHR(device.stat().st_mode):
            raise SourceError(Fault.NOT_A_CAMERA, described)
        os.close(os.open(device, os.O_RDWR | os.O_NONBLOCK))
    except OSError as error:
        fault = _FAULT_OF_ERRNO.get(error.errno or 0, Fault.NOT_A_CAMERA)
        raise SourceError(fault, described) from error
