"""Why a connection fails: looks at each step of one, from the certificate to the handshake.

It speaks plain TLS, not gRPC: the question is who answers, not what.
"""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cordon_client.errors import ClientError, ExitCode, enrol_command
from cordon_client.identity import split_address

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from cordon_client.identity import ClientIdentity


def diagnose(identity: ClientIdentity, *, timeout_s: float = 3.0) -> ClientError | None:
    """The first step that fails, or None where a TLS connection comes about. Blocks."""
    try:
        check_certificate(identity, datetime.now(UTC))
        check_tcp(identity, timeout_s=timeout_s)
        check_tls(identity, timeout_s=timeout_s)
    except ClientError as found:
        return found
    return None


def validity(identity: ClientIdentity) -> tuple[datetime, datetime]:
    """From when to when the identity's own certificate is good."""
    certificate = _own_certificate(identity)
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc


def spiffe_id(identity: ClientIdentity) -> str:
    """The identity in the certificate itself; empty where it carries none."""
    from cryptography import x509

    try:
        names = _own_certificate(identity).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except x509.ExtensionNotFound:
        return ""
    return next(iter(names.value.get_values_for_type(x509.UniformResourceIdentifier)), "")


def check_certificate(identity: ClientIdentity, now: datetime) -> None:
    """Our own certificate is good at `now`."""
    start, end = validity(identity)
    if now > end:
        raise _sign_in(
            identity,
            f"The certificate of {identity.spiffe_id} ({identity.folder}/cert.pem) expired on "
            f"{_day(end)}.",
        )
    if now < start:
        raise ClientError(
            f"The certificate of {identity.spiffe_id} ({identity.folder}/cert.pem) is good only "
            f"from {_day(start)}.",
            why=f"This computer's clock says {_day(now)}; it is probably wrong.",
            hint="timedatectl status",
            exit_code=ExitCode.SIGN_IN,
        )


def check_tcp(identity: ClientIdentity, *, timeout_s: float = 3.0) -> None:
    """The server's name resolves and something answers at the port."""
    _connect(identity, timeout_s).close()


def check_tls(identity: ClientIdentity, *, timeout_s: float = 3.0) -> None:
    """Who answers is our server, and it takes our certificate."""
    # Twice: a server that goes down in just that moment hangs up as well, but not again.
    if _is_welcome(identity, timeout_s) or _is_welcome(identity, timeout_s):
        return
    raise _refused_us(
        identity,
        "It hangs up once it has seen it: the certificate is of another site, or of a site that "
        "was set up anew since.",
    )


def _is_welcome(identity: ClientIdentity, timeout_s: float) -> bool:
    """Whether the server goes on after the handshake; a ClientError where none comes about.

    In TLS 1.3 the server judges our certificate after our side of the handshake is done. One that
    took it opens HTTP/2 with its settings; gRPC servers that did not hang up without a word.
    """
    host, _ = split_address(identity.server)
    context = _context(identity)
    try:
        with (
            _connect(identity, timeout_s) as plain,
            context.wrap_socket(plain, server_hostname=host) as tls,
        ):
            return _speaks(tls)
    except ssl.SSLCertVerificationError as error:
        raise _not_believed(identity, error) from error
    except (ssl.SSLEOFError, ConnectionError) as error:
        raise _broken_off(identity) from error
    except ssl.SSLError as error:
        raise _alert(identity, error) from error
    except TimeoutError as error:
        raise _silent(identity, "It took the connection but never answered in TLS.") from error


def _speaks(tls: ssl.SSLSocket) -> bool:
    try:
        return bool(tls.recv(1))
    except (ssl.SSLEOFError, ConnectionError):
        return False


def _own_certificate(identity: ClientIdentity) -> Certificate:
    # Imported here: a tenth of a second that only a look at a broken connection needs.
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(identity.certificate_pem)
    except ValueError as error:
        raise _sign_in(
            identity, f"{identity.folder}/cert.pem is not a certificate.", f"{error}."
        ) from error


def _context(identity: ClientIdentity) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    try:
        context.load_verify_locations(cadata=identity.ca_pem.decode("ascii"))
        context.load_cert_chain(identity.folder / "cert.pem", identity.folder / "key.pem")
    except (ssl.SSLError, ValueError, OSError) as error:
        raise _sign_in(
            identity,
            f"The certificates in {identity.folder} cannot be used.",
            "cert.pem, key.pem and ca.pem do not belong together or are damaged.",
        ) from error
    return context


def _connect(identity: ClientIdentity, timeout_s: float) -> socket.socket:
    host, port = split_address(identity.server)
    try:
        return socket.create_connection((host, port), timeout=timeout_s)
    except socket.gaierror as error:
        raise _unavailable(
            f"The server's name {host} cannot be resolved.",
            f"{error.strerror}. The name is misspelt, or the name service is not there.",
            f"getent hosts {host}",
        ) from error
    except ConnectionRefusedError as error:
        raise _unavailable(
            f"No server answers at {identity.server}.",
            "The connection was refused: the server is not running, or on another port.",
            "cordon server run --config SITE/cordon.toml (on the server)",
        ) from error
    except TimeoutError as error:
        raise _silent(identity, "A firewall may be in between, or the host is off.") from error
    except OSError as error:
        raise _unavailable(
            f"{identity.server} cannot be reached.", f"{error.strerror}.", "ip route"
        ) from error


_SERVER_CERTIFICATE = {
    9: ("The server's certificate is not valid yet.", "One of the two clocks is wrong: this "
        "computer says {now}.", "timedatectl status"),
    10: ("The server's certificate has expired.", "It has to be renewed on the server. If it is "
         "new, this computer's clock is wrong: it says {now}.", "timedatectl status"),
    62: ("The server's certificate does not carry the name {host}.", "{message}. Use a name that "
         "the server was set up with.", "cordon status --server NAME:PORT"),
    64: ("The server's certificate does not carry the address {host}.", "{message}. Use a name "
         "that the server was set up with.", "cordon status --server NAME:PORT"),
}  # fmt: skip
"""OpenSSL's X509_V_ERR codes -> what, why, hint. Every other one: not our site's."""


def _not_believed(identity: ClientIdentity, error: ssl.SSLCertVerificationError) -> ClientError:
    host, _ = split_address(identity.server)
    what, why, hint = _SERVER_CERTIFICATE.get(
        error.verify_code,
        (
            f"Who answers at {identity.server} is not our server.",
            "Its certificate is not signed by this site's authority ({message}). The identity is "
            "of another site, or the site was set up anew.",
            f"cordon doctor --identity {identity.folder}",
        ),
    )
    words = {"host": host, "now": _day(datetime.now(UTC)), "message": error.verify_message}
    return _unavailable(what.format(**words), why.format(**words), hint)


_ALERTS = {
    "CERTIFICATE_EXPIRED": "It finds the certificate expired; one of the two clocks may be wrong.",
    "UNKNOWN_CA": "It does not know the authority that signed the certificate: another site's.",
    "CERTIFICATE_REQUIRED": "It received no certificate.",
    "CERTIFICATE_REVOKED": "The certificate has been revoked.",
    "BAD_CERTIFICATE": "It finds the certificate damaged.",
    "CERTIFICATE_UNKNOWN": "It finds a fault in the certificate.",
}
"""The end of OpenSSL's name for a TLS alert -> what it means for us."""


def _alert(identity: ClientIdentity, error: ssl.SSLError) -> ClientError:
    name = error.reason or ""
    for ending, meaning in _ALERTS.items():
        if name.endswith(ending):
            return _refused_us(identity, meaning)
    if name in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return _unavailable(
            f"What answers at {identity.server} does not speak TLS.",
            "Another program uses the port.",
            "cordon status --server HOST:PORT",
        )
    return _unavailable(
        f"No secure connection to {identity.server} comes about.",
        f"TLS says: {name.replace('_', ' ').lower() or error}.",
        f"cordon doctor --identity {identity.folder}",
    )


def _broken_off(identity: ClientIdentity) -> ClientError:
    return _unavailable(
        f"{identity.server} broke off the handshake.",
        "It is starting or stopping, or another program uses the port.",
        f"cordon doctor --identity {identity.folder}",
    )


def _refused_us(identity: ClientIdentity, why: str) -> ClientError:
    return _sign_in(
        identity, f"{identity.server} does not accept the certificate of {identity.spiffe_id}.", why
    )


def _silent(identity: ClientIdentity, why: str) -> ClientError:
    host, port = split_address(identity.server)
    return _unavailable(f"{identity.server} does not answer.", why, f"nc -vz {host} {port}")


def _unavailable(what: str, why: str, hint: str) -> ClientError:
    return ClientError(what, why, hint, exit_code=ExitCode.UNAVAILABLE)


def _sign_in(identity: ClientIdentity, what: str, why: str = "") -> ClientError:
    return ClientError(
        what,
        why or "It cannot be renewed any more: the machine has to enrol anew.",
        enrol_command(identity),
        exit_code=ExitCode.SIGN_IN,
    )


def _day(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
