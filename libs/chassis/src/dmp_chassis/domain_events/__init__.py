"""Domain events: facts for other systems, published at least once.

A use case adds events to the outbox in its own transaction; `drain_loop` publishes them in batches and deletes them.
"""

from __future__ import annotations

from dmp_chassis.domain_events.event import DomainEvent
from dmp_chassis.domain_events.outbox import add, add_over, domain_event_outbox, drain, drain_loop
from dmp_chassis.domain_events.publishers import InMemoryPublisher, Publisher, RedisStreamPublisher

__all__ = [
    "DomainEvent",
    "InMemoryPublisher",
    "Publisher",
    "RedisStreamPublisher",
    "add",
    "add_over",
    "domain_event_outbox",
    "drain",
    "drain_loop",
]
