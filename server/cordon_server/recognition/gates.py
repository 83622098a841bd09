"""Which faces are good enough: tables of limits over `domain.Quality`, one a purpose.

The limits were chosen by measuring real pictures (`python -m tests.bench.accuracy --gates`).
"""

from __future__ import annotations

from dataclasses import dataclass

from cordon_server.domain import FaceFate, Quality, Reason, ReasonCode


@dataclass(frozen=True, slots=True)
class Gate:
    """Limits of one purpose. A face must keep to all of them."""

    inter_eye_px_min: float
    """Pixels between the eyes. Lower finds people farther away and confuses more of them."""
    sharpness_min: float
    """Variance of the Laplacian of the aligned crop."""
    luminance_min: float
    """Mean luminance of the aligned crop, 0 to 255."""
    luminance_max: float
    """The same, at the bright end."""
    yaw_degrees_max: float
    """Turn to the side, either way."""
    roll_degrees_max: float
    """Tilt of the head, either way; alignment undoes it, so it may be large."""
    detection_score_min: float = 0.0
    """The detector's own confidence. A covered face lowers it, and so does much else."""

    def misfits(self, quality: Quality) -> tuple[ReasonCode, ...]:
        """The limits that a face breaks; none for a face that may pass. NaN breaks its limit."""
        kept = (
            (ReasonCode.TOO_SMALL, quality.inter_eye_px >= self.inter_eye_px_min),
            (ReasonCode.POSE, self._keeps_pose(quality)),
            (ReasonCode.BLURRED, quality.sharpness >= self.sharpness_min),
            (ReasonCode.TOO_DARK, quality.luminance >= self.luminance_min),
            (ReasonCode.TOO_BRIGHT, quality.luminance <= self.luminance_max),
            (ReasonCode.OCCLUDED, quality.detection_score >= self.detection_score_min),
        )
        return tuple(code for code, is_kept in kept if not is_kept)

    def geometry_fate(self, quality: Quality) -> FaceFate:
        """What the landmarks alone decide, before a crop is made."""
        if not quality.inter_eye_px >= self.inter_eye_px_min:
            return FaceFate.TOO_SMALL
        return FaceFate.SEARCHED if self._keeps_pose(quality) else FaceFate.TOO_POOR

    def component(self, code: ReasonCode, quality: Quality) -> str:
        """What ISO/IEC 29794-5 calls the quality component that a limit is on."""
        if code is ReasonCode.POSE and abs(quality.yaw_degrees) <= self.yaw_degrees_max:
            return "HeadPoseRoll"
        return COMPONENTS[code]

    def _keeps_pose(self, quality: Quality) -> bool:
        return (
            abs(quality.yaw_degrees) <= self.yaw_degrees_max
            and abs(quality.roll_degrees) <= self.roll_degrees_max
        )


# Lenient: a poor probe costs a search, a refused one may be the person looked for.
PROBE_GATE = Gate(
    inter_eye_px_min=12.0,
    sharpness_min=4.0,
    luminance_min=15.0,
    luminance_max=245.0,
    yaw_degrees_max=60.0,
    roll_degrees_max=60.0,
)

# Strict: a poor reference is compared with everybody who walks by (R23).
ENROLMENT_GATE = Gate(
    inter_eye_px_min=24.0,
    sharpness_min=15.0,
    luminance_min=30.0,
    luminance_max=225.0,
    yaw_degrees_max=45.0,
    roll_degrees_max=35.0,
    # Of 150 LFW pictures with half of the face covered 43 % are refused, nearly all because no face
    # is found; with eyes or mouth covered none. 0.85 would refuse 8 % of those with covered eyes,
    # and every third uncovered face of a street camera.
    detection_score_min=0.65,
)

COMPONENTS = {
    ReasonCode.TOO_SMALL: "InterEyeDistance",
    ReasonCode.POSE: "HeadPoseYaw",
    ReasonCode.BLURRED: "Sharpness",
    ReasonCode.TOO_DARK: "UnderExposurePrevention",
    ReasonCode.TOO_BRIGHT: "OverExposurePrevention",
    ReasonCode.OCCLUDED: "FaceOcclusionPrevention",
    ReasonCode.NO_FACE: "SingleFacePresent",
    ReasonCode.SEVERAL_FACES: "SingleFacePresent",
}
"""Reason to the quality component of ISO/IEC 29794-5 that falls short."""


def reasons(quality: Quality, gate: Gate) -> tuple[Reason, ...]:
    """What is wrong with a reference picture's face, in words that say what to do."""
    return tuple(
        Reason(code, _message(code, quality, gate), component=gate.component(code, quality))
        for code in gate.misfits(quality)
    )


def _message(code: ReasonCode, quality: Quality, gate: Gate) -> str:
    if code is ReasonCode.TOO_SMALL:
        return (
            f"The face has {quality.inter_eye_px:.0f} pixels between the eyes, "
            f"{gate.inter_eye_px_min:.0f} are needed; give a larger or closer picture."
        )
    if code is ReasonCode.POSE:
        return (
            f"The face is turned by about {quality.yaw_degrees:.0f} and tilted by "
            f"{quality.roll_degrees:.0f} degrees; give a picture that looks into the camera."
        )
    if code is ReasonCode.BLURRED:
        return (
            f"The face is blurred (sharpness {quality.sharpness:.0f}, {gate.sharpness_min:.0f} is "
            "needed); give a sharper picture."
        )
    if code is ReasonCode.OCCLUDED:
        return (
            "Something may cover the face, for the detector is not sure of it "
            f"({quality.detection_score:.2f}, {gate.detection_score_min:.2f} is needed); give a "
            "picture of the bare face."
        )
    side = "dark" if code is ReasonCode.TOO_DARK else "bright"
    return (
        f"The face is too {side} (mean {quality.luminance:.0f} of 255); give an evenly lit picture."
    )
