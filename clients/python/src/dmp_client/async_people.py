"""What can be asked about people, on asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from dmp_client import answers
from dmp_client.asking import AsyncAsking
from dmp_client.questions import people


class AsyncPeopleQuestions(AsyncAsking):
    """Questions about people. Each may raise NotFoundError, RefusedError and UnavailableError."""

    async def identify(self, *, email: str | None = None, phone_number: str | int | None = None) -> answers.Contact:
        """The contact of an e-mail, a phone number or both, made or extended if it has to be."""
        return await self._ask(people.identify(email, phone_number))

    async def user(
        self,
        internal_user_id: str,
        *,
        page_size: int | None = None,
        page_token: str | None = None,
        matches_token: str | None = None,
    ) -> answers.User:
        """A person with one page of the timeline. An id that was merged answers with the survivor."""
        return await self._ask(
            people.user(internal_user_id, page_size=page_size, page_token=page_token, matches_token=matches_token)
        )

    async def timeline(
        self, internal_user_id: str, *, page_size: int | None = None
    ) -> AsyncIterator[answers.TimelineEntry]:
        """All events of a person, in time order, page by page."""
        token: str | None = None
        while token != "":
            page = await self.user(internal_user_id, page_size=page_size, page_token=token)
            for entry in page.events:
                yield entry
            token = page.next_page_token

    async def possible_matches(self, internal_user_id: str) -> AsyncIterator[answers.PossibleMatch]:
        """Everybody who shares a weak identifier with a person and may be the same, page by page."""
        token: str | None = None
        while token != "":
            page = await self.user(internal_user_id, page_size=1, matches_token=token)
            for entry in page.possible_matches:
                yield entry
            token = page.next_matches_token

    async def match(self, identifier: str, value: str, *, namespace: str | None = None) -> answers.Match:
        """Whose an identifier is, and how it was read. Raises NotFoundError if it is nobody's."""
        return await self._ask(people.match(identifier, value, namespace))

    async def explain(self, from_: str, to: str) -> answers.Explanation:
        """Why two ids, or identifiers as `type:value`, are one person, or why not."""
        return await self._ask(people.explain(from_, to))

    async def merge(self, internal_user_ids: Sequence[str], reason: str = "") -> answers.Merged:
        """Makes people one; the oldest survives."""
        return await self._ask(people.merge(internal_user_ids, reason))

    async def undo(self, merge_id: str, reason: str) -> answers.Undone:
        """Takes a merge back and keeps the people apart from now on."""
        return await self._ask(people.undo(merge_id, reason))

    async def keep_apart(self, internal_user_ids: Sequence[str], reason: str) -> answers.NeverMerge:
        """Two people who must never become one."""
        return await self._ask(people.keep_apart(internal_user_ids, reason))

    async def let_merge(self, never_merge_id: str, reason: str) -> answers.NeverMergeRemoved:
        """Takes back that two people are kept apart."""
        return await self._ask(people.let_merge(never_merge_id, reason))

    async def detach(self, internal_user_id: str, identifier: str, value: str, reason: str) -> answers.Detached:
        """Takes an identifier from a person."""
        return await self._ask(people.detach(internal_user_id, identifier, value, reason))

    async def attach(self, internal_user_id: str, identifier: str, value: str, reason: str) -> answers.Attached:
        """Gives a detached identifier back."""
        return await self._ask(people.attach(internal_user_id, identifier, value, reason))

    async def history(self, internal_user_id: str) -> answers.History:
        """Who was merged with a person, when and why."""
        return await self._ask(people.history(internal_user_id))

    async def graph(self, internal_user_id: str) -> answers.Graph:
        """A person as nodes and edges."""
        return await self._ask(people.graph(internal_user_id))

    async def review(
        self, *, rule: str | None = None, internal_user_id: str | None = None
    ) -> AsyncIterator[answers.Refusal]:
        """Evidence that was not followed, newest first."""
        token: str | None = None
        while token != "":
            page = await self._ask(people.review(rule, internal_user_id, token))
            for entry in page.items:
                yield entry
            token = page.next_page_token

    async def shared(self) -> AsyncIterator[answers.SharedValue]:
        """Values that many people share and that match nobody any more, the last one first."""
        token: str | None = None
        while token != "":
            page = await self._ask(people.shared(token))
            for entry in page.items:
                yield entry
            token = page.next_page_token

    async def undo_shared(self, identifier: str, value: str, reason: str) -> answers.SharedUndone:
        """Takes back everything that one value joined."""
        return await self._ask(people.undo_shared(identifier, value, reason))

    async def try_policy(self, toml: str) -> answers.PolicyTrial:
        """What another policy would make of the stored data. It changes nothing, and reads every identifier."""
        return await self._ask(people.try_policy(toml))

    async def erase(self, internal_user_id: str, *, dry_run: bool = False) -> answers.Erasure:
        """Erases a person for good. dry_run: only says what would be erased."""
        return await self._ask(people.erase(internal_user_id, dry_run=dry_run))

    async def erase_identifier(self, identifier: str, value: str, *, dry_run: bool = False) -> answers.Erasure:
        """Erases the person who has a strong identifier; also somebody whose every event was refused."""
        return await self._ask(people.erase_identifier(identifier, value, dry_run=dry_run))

    async def erasure(self, erasure_id: str) -> answers.Erasure:
        """How far an erasure is."""
        return await self._ask(people.erasure(erasure_id))
