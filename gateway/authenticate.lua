-- Who calls: finds the key of a request, refuses what has none or one that may not, and tells services the key's name.
-- `python -m dmp_stack keys` puts three locals in front of this text: KEYS, the keys by their SHA-256; OPEN, whether nobody needs one; METERED,
-- whether any key has a limit on bytes.
-- Runs before everything but CORS: what is refused here has cost nothing. `authorize.lua` decides again when a request in JSON is an RPC.

-- The scope of each RPC, and of each method and path in JSON; `*` stands for a variable. Made from the protos by `make protos`.
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
local PATHS = {
  ["DELETE /users/*"] = "admin",
  ["GET /admin/actions"] = "admin",
  ["GET /audit"] = "admin",
  ["GET /campaigns"] = "read",
  ["GET /debug/explain"] = "people",
  ["GET /debug/match"] = "people",
  ["GET /debug/review"] = "people",
  ["GET /debug/shared"] = "people",
  ["GET /erasures/*"] = "admin",
  ["GET /events/*"] = "people",
  ["GET /health"] = "public",
  ["GET /healthz"] = "public",
  ["GET /live"] = "read",
  ["GET /metrics"] = "read",
  ["GET /reference"] = "read",
  ["GET /reference/users/*"] = "people",
  ["GET /stats"] = "read",
  ["GET /users/*"] = "people",
  ["GET /users/*/export"] = "people",
  ["GET /users/*/graph"] = "people",
  ["GET /users/*/merges"] = "people",
  ["PATCH /reference/users"] = "admin",
  ["POST /audit/repair"] = "admin",
  ["POST /debug/policy:try"] = "admin",
  ["POST /debug/shared:undo"] = "admin",
  ["POST /erasures"] = "admin",
  ["POST /events"] = "ingest",
  ["POST /events:validate"] = "ingest",
  ["POST /identify"] = "people",
  ["POST /merge"] = "admin",
  ["POST /merges/*:undo"] = "admin",
  ["POST /never-merges"] = "admin",
  ["POST /never-merges/*:remove"] = "admin",
  ["POST /users/*/identifiers:attach"] = "admin",
  ["POST /users/*/identifiers:detach"] = "admin",
  ["PUT /reference/users"] = "admin",
}

local EVERY_SCOPE = ",ingest,read,people,admin,"
local LONGEST_KEY = 55 -- bytes; one block of SHA-256 takes no more

local band, bnot, bor, bxor = bit.band, bit.bnot, bit.bor, bit.bxor
local rol, ror, rshift, tobit, tohex = bit.rol, bit.ror, bit.rshift, bit.tobit, bit.tohex

local ROUND = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
}
local words = {} -- used again for each key: a filter's thread runs one script at a time

-- The SHA-256 of at most LONGEST_KEY bytes, in hexadecimal (FIPS 180-4, one block).
local function sha256(text)
  local bits = #text * 8
  local padded = text .. "\128" .. ("\0"):rep(61 - #text) .. string.char(math.floor(bits / 256), bits % 256)
  for i = 1, 16 do
    local a, b, c, d = padded:byte(4 * i - 3, 4 * i)
    words[i] = bor(a * 0x1000000, b * 0x10000, c * 0x100, d)
  end
  for i = 17, 64 do
    local x, y = words[i - 15], words[i - 2]
    local s0 = bxor(ror(x, 7), ror(x, 18), rshift(x, 3))
    local s1 = bxor(ror(y, 17), ror(y, 19), rshift(y, 10))
    words[i] = tobit(words[i - 16] + s0 + words[i - 7] + s1)
  end
  local a, b, c, d = 0x6a09e667, tobit(0xbb67ae85), 0x3c6ef372, tobit(0xa54ff53a)
  local e, f, g, h = 0x510e527f, tobit(0x9b05688c), 0x1f83d9ab, 0x5be0cd19
  for i = 1, 64 do
    local s1 = bxor(ror(e, 6), ror(e, 11), ror(e, 25))
    local first = tobit(h + s1 + bxor(band(e, f), band(bnot(e), g)) + ROUND[i] + words[i])
    local s0 = bxor(ror(a, 2), ror(a, 13), ror(a, 22))
    local second = tobit(s0 + bxor(band(a, b), band(a, c), band(b, c)))
    h, g, f, e, d, c, b, a = g, f, e, tobit(d + first), c, b, a, tobit(first + second)
  end
  return tohex(a + 0x6a09e667) .. tohex(b + 0xbb67ae85) .. tohex(c + 0x3c6ef372) .. tohex(d + 0xa54ff53a)
    .. tohex(e + 0x510e527f) .. tohex(f + 0x9b05688c) .. tohex(g + 0x1f83d9ab) .. tohex(h + 0x5be0cd19)
end

local function decoded(text)
  return (text:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end))
end

-- Takes parameters named `key` out of a target, whatever their spelling; returns the rest of it and a list of their values.
local function without_keys(target)
  local path, query = target:match("^([^?]*)%?(.*)$")
  if query == nil or not decoded(query):lower():find("key", 1, true) then return target, {} end
  local kept, values = {}, {}
  for parameter in query:gmatch("[^&]+") do
    local name, value = parameter:match("^([^=]*)=?(.*)$")
    if decoded(name) == "key" then values[#values + 1] = decoded(value) else kept[#kept + 1] = parameter end
  end
  if #values == 0 then return target, values end
  return #kept == 0 and path or path .. "?" .. table.concat(kept, "&"), values
end

-- Takes the keys out of a request. Returns the one key, whether it came in the query, and false if there are several.
local function take_key(headers)
  local target = headers:get(":path")
  local rest, values = without_keys(target)
  if rest ~= target then headers:replace(":path", rest) end
  local plain, bearer = headers:get("x-api-key"), headers:get("authorization")
  if plain ~= nil then headers:remove("x-api-key") end
  if bearer ~= nil then
    headers:remove("authorization")
    bearer = bearer:match("^[Bb][Ee][Aa][Rr][Ee][Rr] +(.-) *$")
  end
  if #values > 1 or (plain and bearer) or (values[1] and (plain or bearer)) then return nil, false, false end
  return plain or bearer or values[1], values[1] ~= nil, true
end

-- The scope that a request needs as far as its method and path, or its RPC, tell; nil if they do not. What has no scope here may be a file,
-- a path that does not exist, or a method that it does not take.
local function scope_of(headers)
  local path = headers:get(":path"):match("^[^?]*")
  local rpc = RPCS[path]
  if rpc ~= nil then return rpc end
  local method = headers:get(":method")
  if method == "HEAD" then method = "GET" end
  if #path > 1 and path:sub(-1) == "/" then path = path:sub(1, -2) end
  local before = method .. " "
  return PATHS[before .. path] or PATHS[before .. path:gsub("^(/[^/]+/)[^/:]+", "%1*")] or PATHS[before .. path:gsub("[^/]+$", "*")]
end

local function refuse(handle, status, message)
  local headers = {[":status"] = status}
  if status == "401" then headers["www-authenticate"] = 'Bearer realm="dmp"' end
  handle:respond(headers, message)
end

-- Bytes that bodies of unknown length had, by name of the key: the key's next request that has a body pays for them. Per thread.
local owed = {}

-- Sees that the bytes of a body are charged to its key: at once if the request says how many they are, else with the next one.
local function charge(handle, headers, known)
  local length = tonumber(headers:get("content-length") or "")
  local paid = math.min((length or 0) + (owed[known.name] or 0), known.most_bytes)
  local access = handle:streamInfo():dynamicMetadata()
  access:set("dmp.access", "metered", known.name)
  access:set("dmp.access", "bytes", string.format("%d", math.max(1, paid))) -- Envoy refuses what costs nothing
  local settled = math.max(0, paid - (length or 0))
  -- Nothing of a body comes here once the limit has refused the request: what is owed stays owed.
  for chunk in handle:bodyChunks() do
    owed[known.name] = math.max(0, (owed[known.name] or 0) - settled) + (length and 0 or chunk:length())
    if length then return end
    settled = 0
  end
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local key, in_query, one = take_key(headers)
  local scope = scope_of(headers)
  local access = handle:streamInfo():dynamicMetadata()
  if METERED then access:set("dmp.access", "bytes", "1") end -- Envoy logs each request that does not say
  if scope == "public" then return end
  if OPEN then return access:set("dmp.access", "scopes", EVERY_SCOPE) end
  if not one then return refuse(handle, "401", "a request takes one key, in one place") end
  if key == nil then return refuse(handle, "401", "a key is required: Authorization: Bearer, or x-api-key") end
  local known = #key <= LONGEST_KEY and KEYS[sha256(key)]
  if not known then return refuse(handle, "401", "this key is not known") end
  if known.expires <= os.time() then return refuse(handle, "401", "this key has expired") end
  if in_query and not known.origins then return refuse(handle, "401", "this key must come in a header: only public keys stand in addresses") end
  if known.origins and not known.origins[headers:get("origin") or ""] then return refuse(handle, "403", "this key is not for this origin") end
  if scope ~= nil and not known.scopes:find("," .. scope .. ",", 1, true) then
    return refuse(handle, "403", "this key does not have the scope " .. scope)
  end
  headers:replace("x-internal-caller", known.name)
  access:set("dmp.access", "scopes", known.scopes)
  if known.most_bytes then charge(handle, headers, known) end
end
