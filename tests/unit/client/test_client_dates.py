"""The dates of certificates, and when the next one is asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from cordon_client.dates import renewal_wait, validity_of
from tests.helpers.pki import Authority

SECOND = timedelta(seconds=1)


def pem(life: tuple[timedelta, timedelta]) -> bytes:
    name = x509.UniformResourceIdentifier("spiffe://test/camera/gate")
    return Authority().leaf(name, life=life).certificate_pem


@pytest.mark.parametrize("years", [-40, 0, 22, 30], ids=["1980s", "now", "2040s", "after 2050"])
def test_the_dates_are_those_that_a_whole_library_reads(years: int) -> None:
    day = timedelta(days=1)
    certificate = pem((365 * years * day, 365 * years * day + day))

    found = x509.load_pem_x509_certificate(certificate)
    assert validity_of(certificate) == (found.not_valid_before_utc, found.not_valid_after_utc)


def test_of_a_chain_the_first_counts() -> None:
    leaf, issuing = pem((-SECOND, 9 * SECOND)), pem((-SECOND, 99 * SECOND))

    assert validity_of(leaf + issuing) == validity_of(leaf)


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"no certificate",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----",
        b"\xff",
    ],
)
def test_what_is_no_certificate_is_a_value_error(damaged: bytes) -> None:
    with pytest.raises(ValueError, match="not a certificate"):
        validity_of(damaged)


def test_renewal_is_due_at_two_thirds_of_the_life() -> None:
    certificate = pem((timedelta(), 90 * SECOND))
    start, end = validity_of(certificate)

    assert renewal_wait(certificate, start, is_new=True) == 60 * SECOND
    assert renewal_wait(certificate, start, is_new=False) == 60 * SECOND
    assert renewal_wait(certificate, start + 50 * SECOND, is_new=False) == 10 * SECOND
    assert renewal_wait(certificate, end, is_new=False) == timedelta()


def test_a_new_certificate_that_starts_in_the_past_is_not_renewed_at_once() -> None:
    certificate = pem((-300 * SECOND, 60 * SECOND))
    _, end = validity_of(certificate)

    wait = renewal_wait(certificate, end - 60 * SECOND, is_new=True)

    assert wait == 40 * SECOND


@pytest.mark.parametrize(
    "off", [timedelta(hours=-30), timedelta(hours=30)], ids=["behind", "ahead"]
)
def test_a_clock_that_is_off_does_not_renew_without_end(off: timedelta) -> None:
    certificate = pem((timedelta(), 24 * 3600 * SECOND))
    start, _ = validity_of(certificate)

    assert renewal_wait(certificate, start + off, is_new=True) == timedelta(hours=16)


def test_the_clock_is_utc() -> None:
    start, _ = validity_of(pem((timedelta(), SECOND)))

    assert abs(start - datetime.now(UTC)) < timedelta(minutes=1)
