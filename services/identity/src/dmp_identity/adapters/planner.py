"""How PostgreSQL plans the statements of this service."""

from __future__ import annotations

from typing import Final

from sqlalchemy.engine import make_url

# Every statement finds its rows by an index, a few or a few thousand at a time. A plan made while a table was small
# must not scan it when it is large, and planning each statement anew costs more than running it.
_OPTIONS: Final = (
    "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
    " -c jit=off"
)


def with_planner_options(url: str) -> str:
    """The URL with these options; those that it has win."""
    parsed = make_url(url)
    given = parsed.query.get("options", "")
    options = f"{_OPTIONS} {given if isinstance(given, str) else ' '.join(given)}".strip()
    return parsed.update_query_dict({"options": options}).render_as_string(hide_password=False)
