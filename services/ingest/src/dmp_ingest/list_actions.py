"""Lists what people decided in all three services, in one order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from dmp_chassis.actions import ActionPage, ActionQuery, page_of
from dmp_ingest.adapters.actions import ActionSource


async def list_actions_everywhere(query: ActionQuery, *, sources: Sequence[ActionSource]) -> ActionPage:
    """One page of the actions of all sources, the newest first. Raises CannotAskError if one does not answer.

    Each source is asked for a whole page, since all of it may be newer than what the others have.
    """
    pages = await asyncio.gather(*(source.page(query) for source in sources))
    return page_of(
        (action for page in pages for action in page.actions),
        query.page_size,
        more=any(page.next_page_token for page in pages),
    )
