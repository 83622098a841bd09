"""What sslyze finds wrong with the TLS of both ports: `python -m tests.foreign.tls_scan`.

It is installed into an environment of its own in a temporary folder, for it wants older
libraries than the server. Ends with 1 when it finds anything but that sessions can be resumed,
which is then tried: every method refuses them. Ends with 0 and a word where the package index
cannot be reached.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grpc._cython import cygrpc  # type: ignore[attr-defined]  # compiled, without stubs

from cordon_server.identity.names import Role
from tests.helpers.certificates import a_certificate, channel
from tests.helpers.every_method import requests
from tests.helpers.matrix import call_method
from tests.helpers.prepared_site import Machine, PreparedSite, prepared_site

SSLYZE = "sslyze==6.3.1"
INSTALL_S_MAX, SCAN_S_MAX = 300.0, 300.0
OLDEST = {"sslv2": "ssl_2_0_cipher_suites"}
OLD = {
    "sslv3": "ssl_3_0_cipher_suites",
    "tlsv1": "tls_1_0_cipher_suites",
    "tlsv1_1": "tls_1_1_cipher_suites",
    "tlsv1_2": "tls_1_2_cipher_suites",
}
NOW = {"tlsv1_3": "tls_1_3_cipher_suites"}
VULNERABLE = {
    "heartbleed": ("heartbleed", "is_vulnerable_to_heartbleed"),
    "openssl_ccs": ("openssl_ccs_injection", "is_vulnerable_to_ccs_injection"),
    "reneg": ("session_renegotiation", "is_vulnerable_to_client_renegotiation_dos"),
    "compression": ("tls_compression", "supports_compression"),
}
ROBOT = ("robot", "NOT_VULNERABLE_RSA_NOT_SUPPORTED")
RESUMPTION = "session_resumption"
HEALTH = "/grpc.health.v1.Health/Check"


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="cordon-tls-scan-") as name:
        folder = Path(name)
        sslyze = installed(folder / "environment")
        if sslyze is None:
            print(f"skipped: {SSLYZE} cannot be installed here")
            return 0

        def fill(desk: Any) -> Machine:
            machine: Machine = desk.machine(Role.CONTROL, "scanner")
            return machine

        with prepared_site(folder / "site", fill) as (site, machine):
            found = list(findings(sslyze, folder, site, machine))
            refused = asyncio.run(refusals(site))
    print("\n".join(found) or "no findings")
    print(f"sessions that were resumed: {refused} of {len(requests())} methods refused them")
    return 1 if found or refused < len(requests()) else 0


def installed(folder: Path) -> Path | None:
    """The scanner's program; None where it cannot be had."""
    venv.create(folder, with_pip=True)
    pip = (str(folder / "bin" / "pip"), "install", "--quiet", SSLYZE)
    done = subprocess.run(pip, capture_output=True, timeout=INSTALL_S_MAX, check=False)
    return folder / "bin" / "sslyze" if done.returncode == 0 else None


def findings(sslyze: Path, folder: Path, site: PreparedSite, machine: Machine) -> Iterator[str]:
    """What is wrong with either port; the main one wants a certificate."""
    shown = {"--cert": machine.pair.certificate_pem, "--key": machine.pair.key_pem}
    options = []
    for option, pem in shown.items():
        file = folder / f"scanner{option}.pem"
        file.write_bytes(pem)
        options += [option, str(file)]
    for address, given, old in (
        # The library that speaks SSL 2.0 cannot load our certificates, and without one this port
        # does not talk.
        (site.address, options, OLD),
        (site.enrolment_address, [], OLD | OLDEST),
    ):
        scans = [*old, *NOW, *VULNERABLE, "robot", "resum"]
        result = scanned(sslyze, folder / "out.json", address, given, scans)
        for words in (*judged(result, old), *early_data(address, given)):
            yield f"{address}: {words}"


def scanned(
    sslyze: Path, out: Path, address: str, options: list[str], scans: list[str]
) -> dict[str, Any]:
    """The results of these scans, by their names in its report."""
    command = [str(sslyze), *options, "--mozilla_config", "disable", "--json_out", str(out)]
    command += [f"--{scan}" for scan in scans]
    subprocess.run([*command, address], capture_output=True, timeout=SCAN_S_MAX, check=False)
    (server,) = json.loads(out.read_text())["server_scan_results"]
    results: dict[str, Any] = server["scan_result"]
    return results


def judged(results: dict[str, Any], old: dict[str, str]) -> Iterator[str]:
    """What is wrong by the results, in words; that sessions can be resumed is only told."""
    yield from _versions(results, old, False)
    yield from _versions(results, NOW, True)
    for name, field in VULNERABLE.values():
        if _result(results, name).get(field) is not False:
            yield f"{name}: {field} is {_result(results, name).get(field)}"
    name, safe = ROBOT
    if (robot := _result(results, name).get("robot_result")) != safe:
        yield f"{name}: {robot}"
    if not _result(results, RESUMPTION):
        yield f"{RESUMPTION}: was not scanned"


def early_data(address: str, options: list[str]) -> Iterator[str]:
    """What tickets allow to be sent before a handshake is through.

    sslyze would find out by a request of HTTP/1, upon which the server hangs up; OpenSSL's own
    program reads it in the ticket.
    """
    command = ["openssl", "s_client", "-connect", address, "-tls1_3", "-alpn", "h2"]
    if options:
        _, chain, _, key = options
        command += ["-cert", chain, "-cert_chain", chain, "-key", key]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as client:
        assert client.stdout is not None
        for line in client.stdout:
            if b"Max Early Data" in line:
                client.kill()
                if line.split()[-1] != b"0":
                    yield f"early data: {line.decode().strip()}"
                return
    yield "early data: no ticket tells"


def _versions(results: dict[str, Any], names: dict[str, str], wanted: bool) -> Iterator[str]:
    for name in names.values():
        if (spoken := _result(results, name).get("is_tls_version_supported")) is not wanted:
            yield f"{name}: is_tls_version_supported is {spoken}"


def _result(results: dict[str, Any], name: str) -> dict[str, Any]:
    return results[name]["result"] or {}


async def refusals(site: PreparedSite) -> int:
    """How many methods refuse a session that was resumed, by a certificate that is good."""
    shown = a_certificate(site)
    ticket: Any = ("grpc.ssl_session_cache", cygrpc.SSLSessionCacheLRU(1))
    async with channel(site, shown, ticket) as first:
        await call_method(first, HEALTH, requests()[HEALTH], ())
    async with channel(site, shown, ticket) as resumed:
        outcomes = [await call_method(resumed, *each, ()) for each in requests().items()]
    # Enrol is not served on this port at all.
    return sum(reason == "SESSION_RESUMED" or code == "UNIMPLEMENTED" for code, reason in outcomes)


if __name__ == "__main__":
    sys.exit(main())
