"""What goes on the record of a change to a list, before the change can be seen."""

from __future__ import annotations

from dataclasses import dataclass

from cordon_server.acts import Act, AuditClass, Fact, Recorder
from cordon_server.authority.list_state import ListState
from cordon_server.authority.records import Actor
from cordon_server.authority.watchlist_proposal_records import ProposalRecord
from cordon_server.authority.watchlist_records import EntryRecord, ReferenceRecord


@dataclass(frozen=True, slots=True)
class ListRecord:
    """Records the acts on one deployment's list; every method raises `NotRecorded`."""

    recorder: Recorder
    deployment_id: str

    async def enrolled(self, entry: EntryRecord, reference: ReferenceRecord, by: Actor) -> None:
        """A reference joins the list."""
        facts: dict[str, Fact] = {
            "category": entry.category,
            "references": 1,
            "waits": entry.is_waiting or reference.is_waiting,
        }
        await self._act(AuditClass.COLLECTION, "enrolled", by, facts, entry.entry_id)

    async def removed(self, entry: EntryRecord, references: int, by: Actor) -> None:
        """An entry leaves it."""
        facts: dict[str, Fact] = {"category": entry.category, "references": references}
        await self._act(AuditClass.ERASURE, "removed", by, facts, entry.entry_id)

    async def approved(self, before: tuple[EntryRecord, list[ReferenceRecord]], by: Actor) -> None:
        """A second person approves a minor (R18), or pictures below the gate (R23)."""
        entry, references = before
        facts: dict[str, Fact] = {"category": entry.category}
        if entry.is_waiting:
            await self._act(AuditClass.ALTERATION, "approved", by, facts, entry.entry_id)
        codes = {
            code
            for each in references
            if each.is_waiting and each.override is not None
            for code in each.override.codes
        }
        if codes:
            facts["references"] = sum(each.is_waiting for each in references)
            facts["limits"] = " ".join(sorted(codes))
            await self._act(AuditClass.ALTERATION, "overridden", by, facts, entry.entry_id)

    async def reviewed(self, state: ListState, by: Actor) -> None:
        """A second person looked through exactly this list (R5)."""
        facts: dict[str, Fact] = {
            "digest": state.digest.hex(),
            "entries": state.entries,
            "references": state.references,
        }
        await self._act(AuditClass.CONSULTATION, "reviewed", by, facts)

    async def proposed(self, proposal: ProposalRecord) -> None:
        """A proposal is complete."""
        await self._proposal(AuditClass.COLLECTION, "proposed", proposal, proposal.proposer)

    async def applied(self, proposal: ProposalRecord, by: Actor) -> None:
        """A second person puts it on the list."""
        await self._proposal(AuditClass.COLLECTION, "applied", proposal, by)

    async def discarded(self, proposal: ProposalRecord, by: Actor) -> None:
        """It is thrown away."""
        await self._proposal(AuditClass.ERASURE, "discarded", proposal, by)

    async def _proposal(
        self, kind: AuditClass, verb: str, proposal: ProposalRecord, by: Actor
    ) -> None:
        facts: dict[str, Fact] = {
            "proposal": proposal.proposal_id,
            "digest": proposal.digest.hex(),
            "accepted": proposal.accepted,
            "known": proposal.known,
            "rejected": proposal.rejected,
        }
        await self._act(kind, verb, by, facts)

    async def _act(
        self, kind: AuditClass, verb: str, by: Actor, facts: dict[str, Fact], entry_id: str = ""
    ) -> None:
        personal = {"person": by.user_id, "entry": entry_id}
        await self.recorder.record(
            Act(
                kind,
                f"watchlist.{verb}",
                self.deployment_id,
                f"deployments/{self.deployment_id}/watchlist",
                by.machine,
                facts,
                {name: value for name, value in personal.items() if value},
            )
        )
