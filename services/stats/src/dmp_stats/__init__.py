"""Statistics: how many. Rollups per campaign, the sliding window, and the reference table that enriches it."""
