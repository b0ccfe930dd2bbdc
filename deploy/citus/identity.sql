-- The layout of the database of identity on Citus. Apply it after each `migrate`: it does what is not done yet.
--     psql "$DMP_IDENTITY_DATABASE_URL" -v ON_ERROR_STOP=1 -f deploy/citus/identity.sql

-- distributed: timeline_entry, because it grows by a row for each event. Merges do not move its rows (ADR 0101), so the
-- profile at which an event arrived says for ever where it is.
SELECT create_distributed_table('timeline_entry', 'profile_id', colocate_with => 'none')
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'timeline_entry'::regclass);

-- The graph. Who changes it holds advisory locks, which are of one node (ADR 0103), triggers count its versions
-- (ADR 0106), and a decision reads profiles, identifiers and links of any number of people at one instant. It grows with
-- people and their identifiers, not with events.
-- local: profile, because it is part of the graph.
-- local: identifier, because it is part of the graph.
-- local: former_identifier, because it is part of the graph.
-- local: identifier_pair, because it is part of the graph.
-- local: weak_link, because it is part of the graph.
-- local: anonymous_profile, because it is part of the graph.
-- local: merge, because it is part of the graph.
-- local: merge_edge, because it is part of the graph.
-- local: never_merge, because it is part of the graph.
-- local: separated_profile, because it is part of the graph.
-- local: review, because it is written with the graph.
-- local: contact, because its ids are small integers from a sequence, which is of one node.
-- local: merge_contact, because it is written with contact.
-- local: graph_version, because it has one row, which triggers on the graph change.
-- local: key_rules, because it has a few rows, which are read with the graph.

-- local: inbox, because a batch is noted in the transaction that changes the graph.
-- local: erasure, because whoever goes on with one locks its row. A row for each erasure.
-- local: erasure_key, because it is written with erasure. Rows go when the erasure is done.
-- local: erasure_timeline, because it is written with erasure. Rows go when the erasure is done.
-- local: erasure_page, because its numbers come from a sequence of one node. Rows go when the erasure is done.
-- local: erased_identifier, because it is read with the graph, by digest.
-- local: erasure_salt, because it has one row.
-- local: domain_event_outbox, because rows are taken with SKIP LOCKED.
-- local: action, because a trigger keeps its rows as they are. A row for each act of a person.
