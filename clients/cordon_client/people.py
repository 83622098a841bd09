"""People as records for output."""

from __future__ import annotations

from typing import Any

from cordon.v1 import identity_pb2
from cordon_client.names import short
from cordon_client.times import moment


def person_record(user: identity_pb2.User) -> dict[str, Any]:
    """One person."""
    word = identity_pb2.UserState.Name(user.state).removeprefix("USER_STATE_").lower()
    roles = [
        identity_pb2.UserRole.Name(role).removeprefix("USER_ROLE_").lower() for role in user.roles
    ]
    return {
        "name": user.name,
        "id": short(user.name),
        "display_name": user.display_name or None,
        "roles": roles,
        "state": word,
        "training_expire_time": moment(user, "training_expire_time"),
        "must_change_password": user.must_change_password,
        "create_time": moment(user, "create_time"),
        "sign_in_time": moment(user, "sign_in_time"),
    }
