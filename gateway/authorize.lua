-- What a key may do: one table from RPC to scope, for JSON and native calls alike, because a request in JSON is an RPC by now. What is not in
-- the table is refused. Runs after the transcoder, on every request that reaches a service.

-- The scope of each RPC. Made from the protos by `make protos`.
local RPCS = {
  ["/dmp.identity.v1.IdentityService/AttachIdentifier"] = "admin",
  ["/dmp.identity.v1.IdentityService/CreateNeverMerge"] = "admin",
  ["/dmp.identity.v1.IdentityService/DetachIdentifier"] = "admin",
  ["/dmp.identity.v1.IdentityService/ExplainLink"] = "people",
  ["/dmp.identity.v1.IdentityService/ExportProfile"] = "people",
  ["/dmp.identity.v1.IdentityService/GetGraph"] = "people",
  ["/dmp.identity.v1.IdentityService/GetProfile"] = "people",
  ["/dmp.identity.v1.IdentityService/Identify"] = "people",
  ["/dmp.identity.v1.IdentityService/IdentifyJson"] = "people",
  ["/dmp.identity.v1.IdentityService/ListMerges"] = "people",
  ["/dmp.identity.v1.IdentityService/ListRefusals"] = "people",
  ["/dmp.identity.v1.IdentityService/ListSharedValues"] = "people",
  ["/dmp.identity.v1.IdentityService/MatchIdentifier"] = "people",
  ["/dmp.identity.v1.IdentityService/MergeProfiles"] = "admin",
  ["/dmp.identity.v1.IdentityService/MergeProfilesJson"] = "admin",
  ["/dmp.identity.v1.IdentityService/RemoveNeverMerge"] = "admin",
  ["/dmp.identity.v1.IdentityService/TryPolicy"] = "admin",
  ["/dmp.identity.v1.IdentityService/UndoMerge"] = "admin",
  ["/dmp.identity.v1.IdentityService/UndoSharedValue"] = "admin",
  ["/dmp.ingest.v1.IngestService/AuditEvents"] = "admin",
  ["/dmp.ingest.v1.IngestService/CheckHealth"] = "public",
  ["/dmp.ingest.v1.IngestService/EraseUser"] = "admin",
  ["/dmp.ingest.v1.IngestService/GetErasure"] = "admin",
  ["/dmp.ingest.v1.IngestService/GetEvent"] = "people",
  ["/dmp.ingest.v1.IngestService/ListActions"] = "admin",
  ["/dmp.ingest.v1.IngestService/PublishEventStream"] = "ingest",
  ["/dmp.ingest.v1.IngestService/PublishEventStreamJson"] = "ingest",
  ["/dmp.ingest.v1.IngestService/PublishEvents"] = "ingest",
  ["/dmp.ingest.v1.IngestService/PublishEventsJson"] = "ingest",
  ["/dmp.ingest.v1.IngestService/RepairCampaign"] = "admin",
  ["/dmp.ingest.v1.IngestService/ValidateEventsJson"] = "ingest",
  ["/dmp.stats.v1.StatsService/GetMetrics"] = "read",
  ["/dmp.stats.v1.StatsService/GetReference"] = "read",
  ["/dmp.stats.v1.StatsService/GetReferenceUser"] = "people",
  ["/dmp.stats.v1.StatsService/ListCampaigns"] = "read",
  ["/dmp.stats.v1.StatsService/QueryStats"] = "read",
  ["/dmp.stats.v1.StatsService/RenderStats"] = "read",
  ["/dmp.stats.v1.StatsService/ReplaceReferenceUsers"] = "admin",
  ["/dmp.stats.v1.StatsService/ReplaceReferenceUsersJson"] = "admin",
  ["/dmp.stats.v1.StatsService/UpdateReferenceUsersJson"] = "admin",
  ["/dmp.stats.v1.StatsService/WatchLive"] = "read",
}

function envoy_on_request(handle)
  local scope = RPCS[handle:headers():get(":path"):match("^[^?]*")]
  if scope == "public" then return end
  local access = handle:streamInfo():dynamicMetadata():get("dmp.access")
  local scopes = access and access.scopes or ""
  if scope ~= nil and scopes:find("," .. scope .. ",", 1, true) then return end
  handle:respond({[":status"] = "403"}, "this key does not have the scope " .. (scope or "of this call"))
end
