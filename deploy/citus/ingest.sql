-- The layout of ingest's database on Citus. Apply it after each `migrate`: it does what is not done yet.
--     psql "$DMP_INGEST_DATABASE_URL" -v ON_ERROR_STOP=1 -f deploy/citus/ingest.sql

-- distributed: event, because it grows by a row for each event. Its unique key is what makes counting exact, so that key
-- is what spreads it: each shard decides alone what a duplicate is.
SELECT create_distributed_table('event', 'event_key', colocate_with => 'none')
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'event'::regclass);

-- local: outbox, because relays take rows with SKIP LOCKED, in the order of their time. Rows live for milliseconds.
-- local: domain_event_outbox, because rows are taken with SKIP LOCKED.
-- local: erasure, because whoever goes on with one takes it with SKIP LOCKED. A row for each erasure.
-- local: log_horizon, because it has one row.
-- local: audit_pass, because it has one row.
-- local: action, because a trigger keeps its rows as they are. A row for each act of a person.
