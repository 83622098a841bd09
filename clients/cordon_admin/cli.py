"""`cordon admin`: one module a noun, imported when it is called."""

from __future__ import annotations

from cordon_client.cli import ProfileOption, new_app
from cordon_client.lazy import Lazy, LazyGroup
from cordon_client.workstation import WORKSTATION


class Nouns(LazyGroup):
    """What an administrator looks after."""

    table = {  # noqa: RUF012 - the base declares it ClassVar
        "camera": Lazy("cordon_admin.camera:app", "The cameras that the server knows."),
        "deployment": Lazy("cordon_admin.deployment:app", "One place, one window, one list."),
        "signing-key": Lazy("cordon_admin.signing_key:app", "Your key, to authorise with."),
        "policy": Lazy("cordon_admin.policy:app", "What bounds every deployment."),
        "watchlist": Lazy("cordon_admin.watchlist:app", "Who may be looked for."),
        "user": Lazy("cordon_admin.user:app", "The people, and what each may do."),
        "cert": Lazy("cordon_admin.cert:app", "Certificates of machines."),
        "audit": Lazy("cordon_admin.audit:app", "The record of every act, and its proof."),
        "hold": Lazy("cordon_admin.hold:app", "What is kept of a match, and why."),
        "prove-forgetting": Lazy(
            "cordon_admin.forgetting:prove_forgetting",
            "Show that nobody is kept.",
        ),
        **WORKSTATION,
    }


app = new_app(
    """Look after cameras, deployments, watchlists, people and certificates.

    \b
    Examples:
      cordon admin sign-in anna
      cordon admin camera add north-gate
      cordon admin deployment create market --location "Market Street" --camera north-gate
      cordon admin watchlist import market photos/ --category wanted
    """,
    cls=Nouns,
)


@app.callback()
def admin(profile: ProfileOption = None) -> None:
    """Takes the options that stand before the command."""
