-- The layout of the database of stats on Citus. Apply it after each `migrate`: it does what is not done yet.
--     psql "$DMP_STATS_DATABASE_URL" -v ON_ERROR_STOP=1 -f deploy/citus/stats.sql

-- distributed: rollup, because it grows with campaigns and minutes. A question is about one campaign: one shard.
SELECT create_distributed_table('rollup', 'campaign_id', colocate_with => 'none')
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'rollup'::regclass);

-- distributed: rollup_detail, beside rollup, because the same questions are asked of it and the same fold writes it.
SELECT create_distributed_table('rollup_detail', 'campaign_id', colocate_with => 'rollup')
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'rollup_detail'::regclass);

-- distributed: folded_campaign, beside rollup, because it says of a campaign's rows which fold they include: it has to
-- be read with them, in one statement on one shard.
SELECT create_distributed_table('folded_campaign', 'campaign_id', colocate_with => 'rollup')
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'folded_campaign'::regclass);

-- local: inbox, because a batch is applied by one statement that writes all three of inbox, rollup_delta and
-- window_batch: they have to be where its transaction is.
-- local: rollup_delta, because it is written with inbox. Rows live for seconds.
-- local: window_batch, because replicas find what is new in it by the transaction ids of one node. Half an hour of rows.
-- local: fold, because it has one row, which changes with rollup_delta.
-- local: forgotten_user, because replicas read it with window_batch, by a number of one node.
-- local: reference_generation, because whoever replaces the table is alone by an advisory lock, which is of one node.
-- local: reference_chunk, because it is replaced with reference_generation. It is as large as the reference table.
-- local: domain_event_outbox, because rows are taken with SKIP LOCKED.
-- local: action, because a trigger keeps its rows as they are. A row for each act of a person.
