"""What shows that the requirements are kept: `python -m tests.conformance [--json]`."""
