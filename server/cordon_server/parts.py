"""The parts that the settings alone make: keys, models, calibration, limits, rules."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from importlib import metadata

from cordon_server.acts import Act, AuditClass, Fact
from cordon_server.authority.ceiling import Ceiling
from cordon_server.authority.notice import Publisher
from cordon_server.authority.policy import Policy
from cordon_server.authority.watchlist_cohort import read_cohort
from cordon_server.authority.watchlist_likeness import NO_COHORT, Vectors
from cordon_server.authority.watchlist_rules import CategoryRule, EntryRules, Needed
from cordon_server.config import Settings
from cordon_server.domain import VOLUNTEER
from cordon_server.operations.components import Component, component_list, keep
from cordon_server.recognition.analyse import AnalyserSettings
from cordon_server.recognition.calibrate import Calibration, calibrated
from cordon_server.recognition.decide import DecisionRule
from cordon_server.recognition.decode import Decoder
from cordon_server.recognition.gpu_decode import GpuDecoder, GpuPictures, open_gpu_pictures
from cordon_server.recognition.limits import FrameLimits
from cordon_server.recognition.load import LoadRules
from cordon_server.recognition.models.cudart import load_cudart
from cordon_server.recognition.models.pack import ModelPack, load_pack
from cordon_server.recognition.models.prepare import prepare
from cordon_server.recognition.models.sessions import Models, open_models
from cordon_server.sessions.match_classes import MatchClasses
from cordon_server.sessions.streams import StreamLimits
from cordon_server.store.keyring import Keyring, Label
from cordon_server.store.sealed_files import SealedFiles
from cordon_server.store.site_key import ScryptCost, site_passphrase
from cordon_server.store.wrapping import WrappingSecrets


def open_keyring(settings: Settings) -> Keyring:
    """The keys of what is sealed; raises `ConfigInvalid` without the site's passphrase,
    `StorageDamaged`."""
    storage = settings.storage
    storage.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    passphrase = site_passphrase(storage.passphrase_file)
    secrets = WrappingSecrets(storage.never_backed_up)
    return Keyring(settings.keyring_file, secrets, passphrase, cost=ScryptCost())


def holds_files(settings: Settings, keyring: Keyring) -> SealedFiles:
    """Where legal holds keep what they keep."""
    return SealedFiles(settings.storage.data / "holds", keyring, Label.HOLD)


def match_classes(policy: Policy) -> MatchClasses:
    """How long matches are kept, by the policy."""
    retention = policy.retention
    return MatchClasses(
        undecided_max=timedelta(hours=retention.match_h_max),
        true_max=timedelta(hours=retention.true_match_h_max),
        false_max=timedelta(hours=retention.false_match_h_max),
    )


def open_pack(settings: Settings) -> Models:
    """The model pack, verified, prepared and loaded; raises `ModelRefused`,
    `ProviderUnavailable`."""
    settings.models_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    prepared = prepare(load_pack(settings.recognition.model_pack), settings.models_folder)
    return open_models(prepared, settings.recognition.provider)


def model_components(pack: ModelPack) -> list[Component]:
    """The networks as components (R30)."""
    files = (pack.detector, pack.embedder)
    return [Component("model", each.name, "", each.licence, each.sha256) for each in files]


def made_of(pack: ModelPack, settings: Settings) -> dict[str, Fact]:
    """What this server is made of: the digest of the list of all its components, which is kept, and
    its networks by hash and licence (R30)."""
    listed = component_list(model_components(pack))
    facts: dict[str, Fact] = {"components": keep(listed, settings.components_folder)}
    for part, file in {"detector": pack.detector, "embedder": pack.embedder}.items():
        facts |= {part: file.name, f"{part}_sha256": file.sha256, f"{part}_licence": file.licence}
    return facts


def server_started(models: Models, policy: Policy, made_of: Mapping[str, Fact]) -> Act:
    """That this server serves: version, policy, and what it is made of (R12, R30)."""
    facts: dict[str, Fact] = {
        "version": metadata.version("cordon"),
        "provider": models.provider,
        "model": models.pack.model_id,
        "policy": policy.name,
        "policy_digest": policy.digest.hex(),
        **made_of,
    }
    return Act(AuditClass.NONE, "server.started", facts=facts)


def open_pictures(models: Models) -> GpuPictures | None:
    """The GPU that decodes frames: the one that the models run on, where it can."""
    return open_gpu_pictures(load_cudart()) if models.provider == "cuda" else None


def calibration(models: Models, settings: Settings, pictures: GpuPictures | None) -> Calibration:
    """What this machine does with these models; about a second where it is not known yet."""
    recognition = settings.recognition
    return calibrated(
        models,
        settings.storage.data,
        width=recognition.detector_width,
        height=recognition.detector_height,
        decoder=lambda: decoder(settings, pictures),
    )


def decoder(settings: Settings, pictures: GpuPictures | None) -> Decoder:
    """A decoder for one worker."""
    limits = analyser_settings(settings).limits
    return Decoder(limits) if pictures is None else GpuDecoder(pictures, limits)


def analyser_settings(settings: Settings) -> AnalyserSettings:
    """How frames are analysed, by the server's settings."""
    limits, recognition = settings.limits, settings.recognition
    return AnalyserSettings(
        limits=FrameLimits(
            jpeg_bytes_max=limits.jpeg_bytes_max,
            width_max=limits.frame_width_max,
            height_max=limits.frame_height_max,
        ),
        detect_width=recognition.detector_width,
        detect_height=recognition.detector_height,
        faces_per_frame_max=recognition.faces_per_frame_max,
    )


def decision_rule(settings: Settings) -> DecisionRule:
    """When a candidate is a match, by the server's settings."""
    decision = settings.decision
    return DecisionRule(
        margin_min=decision.margin_min,
        observations_min=decision.observations_min,
        cool_down_s=decision.cool_down_s,
    )


def publisher(settings: Settings) -> Publisher:
    """What is the same on all notices, by the server's settings."""
    said = settings.authority
    return Publisher(said.responsible, said.lawful_basis, said.complaint_route, said.record_url)


def ceiling(policy: Policy) -> Ceiling:
    """The ceiling on false alerts, by the policy."""
    return Ceiling(policy.false_alerts.ceiling_per_face, policy.false_alerts.confidence)


def entry_rules(policy: Policy) -> EntryRules:
    """Who may be listed, by the policy."""
    listed = policy.watchlist
    return EntryRules(
        categories={
            name: CategoryRule(category.entries_max, minors=category.minors)
            for name, category in policy.categories.items()
        }
        | {VOLUNTEER: CategoryRule()},
        needed=frozenset(map(Needed, listed.fields_needed)),
        rationale_characters_min=listed.rationale_characters_min,
        image_age_max=timedelta(days=listed.image_age_d_max) if listed.image_age_d_max else None,
        proposal_rows_min=listed.proposal_rows_min or None,
    )


def cohort(settings: Settings, models: Models) -> Vectors:
    """Strangers that lists are compared with, as the settings name them; raises
    `ConfigInvalid`."""
    path = settings.watchlist.cohort
    if path is None:
        return NO_COHORT
    return read_cohort(path, models.pack.model_id, models.pack.dimension)


def load_rules(settings: Settings) -> LoadRules:
    """What cameras are asked for, with room and without, by the server's settings."""
    advice = settings.advice
    return LoadRules(
        fps_min=settings.recognition.fps_min,
        fps_max=advice.fps_max,
        side_px_max=advice.side_px_max,
        jpeg_quality=advice.jpeg_quality,
    )


def warm_up(models: Models, settings: Settings) -> None:
    """Runs every shape that will come."""
    models.warm_up(settings.recognition.detector_width, settings.recognition.detector_height)


def stream_limits(settings: Settings) -> StreamLimits:
    """What a camera's stream may do, by the server's settings."""
    limits = settings.limits
    return StreamLimits(
        video_credit=limits.video_credit,
        stills_credit=limits.stills_credit,
        clock_skew_max=timedelta(seconds=limits.clock_skew_s_max),
        cameras_connected_max=limits.cameras_connected_max,
        tracking=settings.recognition.tracking,
        rule=decision_rule(settings),
    )
