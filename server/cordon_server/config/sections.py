"""The sections of the settings: every limit of the server, with what it does and where it ends."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from cordon_server.audit.personal import KEPT_FOR_MIN
from cordon_server.identity.attempts import AttemptLimits
from cordon_server.identity.sessions import SessionRules

Provider = Literal["auto", "cpu", "cuda"]


class Section(BaseModel):
    """Fields of one heading of the file: each with its limits, none unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Listen(Section):
    """Where clients connect."""

    host: str = "0.0.0.0"
    """Address to bind; a name or an IP address."""
    port: int = Field(7443, ge=0, le=65535)
    """TCP port; 0 takes a free one and logs it."""
    enrolment_port: int | None = Field(None, ge=0, le=65535)
    """TCP port where machines spend one-time tokens; absent for the one after `port`, 0 takes a
    free one and logs it."""
    message_bytes_max: int = Field(20 * 2**20, ge=2**20)
    """Largest gRPC message; above the largest picture and frame, so that one over its own limit is
    refused in words and not by a broken stream."""
    streams_per_connection_max: int = Field(100, ge=1)
    """HTTP/2 streams at once per connection."""
    grace_s: float = Field(5.0, ge=0)
    """How long running calls may take to finish on SIGTERM."""

    def port_of_enrolment(self, port: int) -> int:
        """The enrolment port beside the port that was got."""
        if self.enrolment_port is not None:
            return self.enrolment_port
        return 0 if self.port == 0 or port == 65535 else port + 1


class Recognition(Section):
    """What recognition does with frames."""

    provider: Provider = "auto"
    """auto takes CUDA where it works, else the CPU. What is named and not there is an error."""
    workers: int = Field(0, ge=0, le=64)
    """Frames worked on at once; 0 takes what was measured to be best here."""
    model_pack: Path | None = None
    """TOML file of another model pack, relative to the settings file; absent for the built-in."""
    detector_width: int = Field(640, ge=64, le=4096, multiple_of=32)
    """Width in pixels that frames are letterboxed to for detection. Twice the width finds faces
    half the size at four times the cost."""
    detector_height: int = Field(384, ge=64, le=4096, multiple_of=32)
    """Height, likewise."""
    faces_per_frame_max: int = Field(64, ge=1, le=1000)
    """Faces searched per frame, largest first; the rest are counted as shed."""
    tracking: bool = True
    """Whether a video camera's faces are followed from frame to frame, embedded when it pays and
    decided on several views. Off embeds every face of every frame and reports each that matches."""
    fps_min: float = Field(2.0, gt=0, le=60)
    """Frames per second that every camera keeps: none is advised less under load, and one more is
    let in only where all would have as much."""
    weights: dict[str, Annotated[float, Field(ge=0.1, le=10)]] = {}
    """A camera's share of the workers under load, by its name; 1 where it is not named."""
    frame_age_s_max: float = Field(2.0, gt=0)
    """A video frame that waited longer is dropped before it is decoded, and counted."""


class Decision(Section):
    """When a tracked candidate is a match, beside its threshold."""

    margin_min: float = Field(0.04, ge=0, le=1)
    """Least lead over the best other subject. Higher refuses look-alikes, and some who are
    listed."""
    observations_min: int = Field(2, ge=1, le=10)
    """Views of a person that must agree. 1 decides on a single frame."""
    cool_down_s: float = Field(30.0, ge=0)
    """How long a subject who was matched raises no match on another track."""


class Limits(Section):
    """What the server takes, from anyone."""

    jpeg_bytes_max: int = Field(4 * 2**20, ge=1024)
    """Largest frame."""
    frame_width_max: int = Field(4096, ge=64)
    """Widest frame, pixels."""
    frame_height_max: int = Field(4096, ge=64)
    """Highest frame, pixels."""
    clock_skew_s_max: float = Field(30.0, gt=0)
    """Furthest that a camera's clock may be off."""
    video_credit: int = Field(2, ge=1, le=16)
    """Frames a video camera may have under way."""
    stills_credit: int = Field(6, ge=1, le=64)
    """Pictures a camera of stills may have under way."""
    cameras_connected_max: int = Field(64, ge=1)
    """Camera streams at once."""
    subscribers_max: int = Field(32, ge=1)
    """Match streams at once."""
    cameras_max: int = Field(1000, ge=1)
    """Cameras registered."""
    deployments_open_max: int = Field(16, ge=1)
    """Deployments not ended."""
    entries_max: int = Field(20_000, ge=1)
    """Subjects on one watchlist."""
    references_per_entry_max: int = Field(10, ge=1)
    """Pictures of one subject."""
    image_bytes_max: int = Field(12 * 2**20, ge=1024, le=12 * 2**20)
    """Largest reference picture."""


class People(Section):
    """How long people stay signed in, and how often a password may be wrong."""

    session_hours_max: float = Field(10.0, gt=0, le=10)
    """A session ends after this, whatever is done in it: a shift."""
    idle_minutes_max: float = Field(30.0, gt=0, le=30)
    """A session ends when nobody has renewed its token for this long."""
    token_minutes: float = Field(10.0, gt=0, le=10)
    """Life of a token. Short ones are renewed more often, without asking anybody."""
    fresh_password_s: float = Field(120.0, gt=0, le=120)
    """How long a password opens the methods that want it given just now."""
    sessions_per_user_max: int = Field(8, ge=1, le=100)
    """Sessions of one person; one more ends the oldest."""
    users_max: int = Field(1000, ge=1, le=100_000)
    """People registered."""
    wrong_passwords_max: int = Field(10, ge=3, le=100)
    """Wrong passwords for one name within the window that lock it out. Less locks out who
    mistypes; more lets a guesser try."""
    wrong_passwords_per_machine_max: int = Field(30, ge=3, le=1000)
    """Wrong passwords on one machine within the window, whatever the names."""
    wrong_passwords_minutes: float = Field(15.0, ge=1)
    """The window, and how long a lock-out lasts."""

    @property
    def session_rules(self) -> SessionRules:
        return SessionRules(
            life_max=timedelta(hours=self.session_hours_max),
            idle_max=timedelta(minutes=self.idle_minutes_max),
            token_life=timedelta(minutes=self.token_minutes),
            fresh_for=timedelta(seconds=self.fresh_password_s),
            per_user_max=self.sessions_per_user_max,
        )

    @property
    def attempt_limits(self) -> AttemptLimits:
        return AttemptLimits(
            per_user_max=self.wrong_passwords_max,
            per_machine_max=self.wrong_passwords_per_machine_max,
            window=timedelta(minutes=self.wrong_passwords_minutes),
        )


class Authority(Section):
    """Who may be looked for, where, for how long and by whose decision: all of it in one file."""

    policy: str = "demo"
    """A profile that comes with Cordon (uk-police, eu-ai-act, private-venue, demo), or a TOML file
    of one's own, relative to the settings file."""
    complaint_route: str = Field(
        "whoever runs this system: the name and address are on its signs",
        min_length=1,
        max_length=200,
    )
    """Where a person can complain who was stopped: goes with every receipt (R29), sign and
    leaflet (R19)."""
    responsible: str = Field("", max_length=200)
    """The organisation that answers for this system: on every sign (R19)."""
    lawful_basis: str = Field("", max_length=200)
    """By what law it may recognise faces: on every sign (R19)."""
    record_url: str = Field("", max_length=200, pattern=r"^(https://[!-~]+)?$")
    """Where the reports of its deployments are published, an https:// address (R20): on every
    sign, as a QR code too."""


class Watchlist(Section):
    """Rules of the list that are no policy."""

    duplicate_score: float = Field(0.80, gt=0, le=1)
    """A face this close to another entry's is refused as a duplicate."""
    cohort: Path | None = None
    """File of strangers' templates that lists are compared with, relative to the settings file;
    `cordon server cohort make` makes one. Without, a list's own entries serve: then hubs are told
    from few faces, or not at all."""


class Advised(Section):
    """What cameras are advised while there is room; under load it may be less."""

    fps_max: float = Field(0.0, ge=0)
    """Frames per second; 0 leaves it to the camera."""
    side_px_max: int = Field(1920, ge=64)
    """Longest side, where the camera encodes itself."""
    jpeg_quality: int = Field(85, ge=30, le=100)
    """JPEG quality, where the camera encodes itself."""


class Metrics(Section):
    """Numbers for whoever watches the server: on this machine alone, over plain HTTP."""

    port: int = Field(0, ge=0, le=65535)
    """TCP port on 127.0.0.1; 0 listens nowhere. Whoever is logged in here can read them."""


class Storage(Section):
    """Where things are kept."""

    data: Path = Path("data")
    """Databases and prepared models; relative to the settings file."""
    certificates: Path = Path("certs")
    """The site's certificates and keys; relative to the settings file."""
    passphrase_file: Path = Path("site-passphrase")
    """The site's passphrase, one line, mode 0600; relative to the settings file. A systemd
    credential `cordon-site-passphrase` goes before it; without either it is asked for at a
    terminal. In one backup with the data it protects nothing there."""
    never_backed_up: Path = Path("never-backed-up")
    """The secret that old copies of the keyring cannot be opened without; relative to the settings
    file. It changes with every deployment that ends. Never in a backup: a backup of it and of the
    passphrase opens watchlists that were destroyed (R2)."""
    size_bytes_max: int = Field(8 * 2**30, ge=2**20)
    """Largest size of each database file."""
    manifest_days: int = Field(366, ge=1, le=3660)
    """How long it can still be told whether somebody was on a list: external reference, category
    and dates, nothing biometric (R3)."""

    @property
    def manifest_kept_for(self) -> timedelta:
        return timedelta(days=self.manifest_days)


class Audit(Section):
    """The record of every act."""

    personal_days: int = Field(366, ge=KEPT_FOR_MIN.days, le=36_525)
    """How long who acted and why can be read, after the month of the act. Then the key goes and
    the rest of the record stays, whole. Six months are the least that operators must keep logs,
    a century the most."""
