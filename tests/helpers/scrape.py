"""The server's metrics as whoever collects them reads them."""

from __future__ import annotations

from urllib.request import urlopen

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families


def scraped(port: int) -> dict[str, float]:
    """What is answered on a port of this machine, by name and labels."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return _parsed(answer.read().decode())


def numbers(registry: CollectorRegistry) -> dict[str, float]:
    """What would be."""
    return _parsed(generate_latest(registry).decode())


def _parsed(text: str) -> dict[str, float]:
    return {
        _name(sample.name, sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _name(name: str, labels: dict[str, str]) -> str:
    inside = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{inside}}}" if inside else name
