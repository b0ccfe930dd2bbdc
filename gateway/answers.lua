-- Gives answers their HTTP status and the error envelope. Answers to native gRPC pass untouched.
-- Runs before the transcoder: it sees answers as the transcoder made them, and those of the filters.

-- The names of google.rpc.Code by number. What callers cannot act upon differently has one name.
local STATUS = {
  [1] = "CANCELLED", [2] = "INTERNAL", [3] = "INVALID_ARGUMENT", [4] = "DEADLINE_EXCEEDED", [5] = "NOT_FOUND", [6] = "ALREADY_EXISTS",
  [7] = "PERMISSION_DENIED", [8] = "RESOURCE_EXHAUSTED", [9] = "FAILED_PRECONDITION", [10] = "ABORTED", [11] = "OUT_OF_RANGE",
  [12] = "UNIMPLEMENTED", [13] = "INTERNAL", [14] = "UNAVAILABLE", [15] = "INTERNAL", [16] = "UNAUTHENTICATED",
}

local ONLY_WITH_TLS = "max-age=31536000" -- what browsers remember of this host, and only of one that they reached with TLS
local LONGEST_STATUS = 131072 -- bytes
local LONGEST_NAME = 100 -- bytes of a parameter's name that an answer repeats

-- As Envoy's own matchers have it: parameters (`application/grpc;x`) make it another type.
local function is_grpc(content_type)
  return content_type ~= nil and (content_type == "application/grpc" or content_type:sub(1, 17) == "application/grpc+")
end

local function decoded(text)
  return (text:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end))
end

-- What the transcoder prints for a google.rpc.Status, when it could not print it itself: a detail is of a type that it does not know.
local function status_of_headers(headers)
  local code = tonumber(headers:get("grpc-status") or "") or 2
  local message = decoded(headers:get("grpc-message") or "the request failed")
  message = message:gsub('[%c"\\]', function(character) return string.format("\\u%04x", character:byte()) end)
  return '{"code":' .. code .. ',"message":"' .. message .. '","details":[]}'
end

-- What a parameter or a field of a typed body has to be, by the transcoder's name of its type.
local MUST_BE = {
  BOOL = "must be true or false", DOUBLE = "must be a number", INT32 = "must be a whole number of at most 32 bits", STRING = "must be a text",
}

-- An error envelope with the transcoder's own words, or ours, in the words and with the details that the services have for the same mistake.
-- What is taken from the words is JSON text already and stays as it is. Values and pieces of the body are not taken.
local function about_a_field(raw, transcoder)
  local words = raw:match('^{"error":{"code":400,"details":%[%],"message":"(.*)","status":"INVALID_ARGUMENT"}}%s*$') or ""
  local field, problem = words:match("^(%S+) (must come once)$")
  if field == nil then field, problem = words:match("^(%S+) (is not a parameter of this path)$") end
  if field == nil and not transcoder then return raw end
  if field == nil then
    field, problem = words:match('^Could not find field \\"(.-)\\" in the type '), "is not a parameter of this path"
  end
  if field == nil then
    local kind
    field, kind = words:match("^([%w_.%[%]]+): invalid value .* for type TYPE_(%w+)$")
    problem = MUST_BE[kind] or "has a value of the wrong type"
  end
  if field == nil then
    field, problem = words:match("^Cannot set '([%w_]+)' for type oneof$"), "must come once"
  end
  if field == nil then
    return '{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"the body is not JSON of the form that this path takes","details":[]}}'
  end
  field = field:sub(1, LONGEST_NAME):gsub("\\[^\\]*$", "") -- a cut must not leave half an escape
  return '{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"' .. field .. " " .. problem
    .. '","details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"' .. field
    .. '","description":"' .. problem .. '","reason":""}]}]}}'
end

-- Turns a google.rpc.Status as the transcoder prints it into the error envelope; anything else stays as it is.
-- Returns the HTTP status, the text, and the seconds after which to try again if the status says so.
local function in_envelope(http, raw, transcoder)
  local code, rest = raw:match('^{"code":(%d+),(.*)$')
  if code == nil then return http, http == 400 and about_a_field(raw, transcoder) or raw end
  code = tonumber(code)
  if code == 1 then
    -- The caller is still there: it was the service that gave up, because it is stopping.
    http, code, rest = 503, 14, '"message":"the service is stopping; try again","details":[]}'
  elseif http >= 500 and code ~= 14 and code ~= 4 then
    -- Details are put there on purpose; the message may be an exception's.
    rest = '"message":"the server failed; its log knows this request by its x-request-id",' .. (rest:match('"details":%[.*$') or '"details":[]}')
  end
  local seconds
  if http == 429 or http == 503 then
    seconds = math.max(1, math.ceil(tonumber(rest:match('google%.rpc%.RetryInfo","retryDelay":"([%d.]+)s"') or "1")))
  end
  return http, '{"error":{"code":' .. http .. ',"status":"' .. (STATUS[code] or "INTERNAL") .. '",' .. rest .. "}", seconds
end

-- The status of an answer: what the service chose, or the one of a path's successes, where it is not 200. A service that says nothing saves a
-- message for each request.
local function choose_status(handle, headers, content_type)
  local http = tonumber(headers:get(":status"))
  local chosen = headers:get("x-http-status")
  if chosen ~= nil then
    headers:remove("x-http-status")
    if not chosen:find("^[2-5]%d%d$") then chosen = nil end
  end
  if chosen == nil and http == 200 and content_type == "application/json" then chosen = handle:filterContext():get("success") end
  if chosen == nil then return http end
  headers:replace(":status", chosen)
  return tonumber(chosen)
end

-- An error as an envelope with its status and headers; for HEAD without a body.
local function answer_error(handle, headers, raw, head)
  local transcoder = headers:get("x-transcoder-words") ~= nil
  headers:remove("x-transcoder-words")
  -- A status came in gRPC's headers and cannot be that long; an answer that is, such as the verdicts on 10,000 bad events, is not held back.
  if not transcoder and tonumber(headers:get("content-length") or "0") > LONGEST_STATUS then return end
  local http = tonumber(headers:get(":status"))
  local body = handle:body(true)
  if body == nil then return end
  local status, text, seconds = in_envelope(http, raw or body:getBytes(0, body:length()), transcoder)
  body:setBytes(head and "" or text)
  headers = handle:headers()
  headers:replace(":status", tostring(status))
  headers:replace("content-length", tostring(#text))
  if seconds ~= nil and headers:get("retry-after") == nil then headers:replace("retry-after", tostring(seconds)) end
end

-- The limits of bodies answer native callers UNKNOWN, which nobody could act upon.
local function name_the_limit(headers)
  if headers:get("grpc-status") ~= "2" or headers:get("grpc-message") ~= "request too long" then return end
  headers:replace("grpc-status", "8")
  headers:replace("grpc-message", "the message is larger than this call takes")
end

-- What anybody may read, and keep: the documentation and the console. Everything else may be about people, and nothing on the way keeps it.
local function is_public(path)
  return path == "/openapi.json" or path == "/redoc" or path == "/dmp.js" or path:find("^/docs") ~= nil or path:find("^/console") ~= nil
end

function envoy_on_response(handle)
  local headers = handle:headers()
  if handle:streamInfo():downstreamSslConnection() ~= nil then headers:replace("strict-transport-security", ONLY_WITH_TLS) end
  local content_type = headers:get("content-type") or ""
  local grpc = is_grpc(content_type)
  -- A native gRPC answer always has the HTTP status 200, whatever its grpc-status.
  if grpc and headers:get(":status") == "200" then return name_the_limit(headers) end
  local http = choose_status(handle, headers, content_type)
  local noted = handle:streamInfo():dynamicMetadata():get("dmp")
  if not is_public(noted and noted.path or "") then headers:replace("cache-control", "no-store") end
  local head = noted and noted.head
  if http >= 400 then
    local raw
    if grpc then
      raw = status_of_headers(headers)
      content_type = "application/json"
      headers:replace("content-type", content_type)
    end
    if content_type:find("^application/json") then answer_error(handle, headers, raw, head) end
  elseif head == "/live" then
    headers:replace("content-type", "text/event-stream")
    headers:replace("x-accel-buffering", "no")
  elseif head then
    for chunk in handle:bodyChunks() do chunk:setBytes("") end
  end
end
