"""The commands that every workstation has: a table for the groups that serve one."""

from __future__ import annotations

from cordon_client.lazy import Lazy

MACHINE = {
    "enrol": Lazy("cordon_client.machine_commands:enrol", "Turn a token into a certificate."),
    "renew": Lazy("cordon_client.machine_commands:renew", "Renew this machine's certificate."),
}
"""A camera's too."""

WORKSTATION = {
    "sign-in": Lazy("cordon_client.sign_in:sign_in", "Sign in at this workstation."),
    "sign-out": Lazy("cordon_client.sign_in:sign_out", "End your session."),
    "step-up": Lazy("cordon_client.sign_in:step_up", "Give your password afresh."),
    "whoami": Lazy("cordon_client.sign_in:whoami", "Who you are to the server."),
    "passwd": Lazy("cordon_client.sign_in:passwd", "Change your password."),
    **MACHINE,
}
