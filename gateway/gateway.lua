-- Checks what the transcoder does not check, and gives answers their HTTP status and their error envelope.
-- Runs before the transcoder: it sees requests as the client sent them and answers as the transcoder made them. Native gRPC passes untouched.

-- The methods of each path; `*` stands for a variable. A path that is not here is left to the transcoder, which answers 404 to a method
-- it does not know. A test holds this against the annotations of the protos.
local METHODS = {
  ["/audit"] = "GET",
  ["/audit/repair"] = "POST",
  ["/campaigns"] = "GET",
  ["/debug/explain"] = "GET",
  ["/debug/match"] = "GET",
  ["/debug/policy:try"] = "POST",
  ["/debug/review"] = "GET",
  ["/docs"] = "GET, HEAD",
  ["/docs/*"] = "GET, HEAD",
  ["/erasures/*"] = "GET",
  ["/events"] = "POST",
  ["/events/*"] = "GET",
  ["/health"] = "GET",
  ["/healthz"] = "GET",
  ["/identify"] = "POST",
  ["/live"] = "GET",
  ["/merge"] = "POST",
  ["/merges/*:undo"] = "POST",
  ["/metrics"] = "GET",
  ["/never-merges"] = "POST",
  ["/never-merges/*:remove"] = "POST",
  ["/openapi.json"] = "GET, HEAD",
  ["/reference"] = "GET",
  ["/reference/users"] = "PATCH, PUT",
  ["/reference/users/*"] = "GET",
  ["/stats"] = "GET",
  ["/users/*"] = "DELETE, GET",
  ["/users/*/export"] = "GET",
  ["/users/*/graph"] = "GET",
  ["/users/*/merges"] = "GET",
}

-- The variable that paths with this first segment carry. The transcoder lets a query parameter of that name win over the path.
local VARIABLES = {
  erasures = "erasure_id",
  events = "event_id",
  merges = "merge_id",
  ["never-merges"] = "never_merge_id",
  reference = "user_id",
  users = "internal_user_id",
}

-- The names of google.rpc.Code by number. What callers cannot act upon differently has one name.
local STATUS = {
  [1] = "CANCELLED", [2] = "INTERNAL", [3] = "INVALID_ARGUMENT", [4] = "DEADLINE_EXCEEDED", [5] = "NOT_FOUND", [6] = "ALREADY_EXISTS",
  [7] = "PERMISSION_DENIED", [8] = "RESOURCE_EXHAUSTED", [9] = "FAILED_PRECONDITION", [10] = "ABORTED", [11] = "OUT_OF_RANGE",
  [12] = "UNIMPLEMENTED", [13] = "INTERNAL", [14] = "UNAVAILABLE", [15] = "INTERNAL", [16] = "UNAUTHENTICATED",
}

local LONGEST_STATUS = 131072 -- bytes

local function is_grpc(content_type)
  return content_type ~= nil and (content_type == "application/grpc" or content_type:find("^application/grpc[+;]") ~= nil)
end

local function decoded(text)
  return (text:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end))
end

-- Whether a text is UTF-8 without NUL: no overlong forms, no surrogates, nothing above U+10FFFF.
local function is_text(text)
  if text:find("%z") then return false end
  local position = 1
  while position <= #text do
    position = text:find("[\128-\255]", position)
    if position == nil then return true end
    local first, second = text:byte(position, position + 1)
    local size
    if first >= 0xC2 and first <= 0xDF then size = 2
    elseif first >= 0xE0 and first <= 0xEF then size = 3
    elseif first >= 0xF0 and first <= 0xF4 then size = 4
    else return false end
    local rest = text:sub(position + 1, position + size - 1)
    if #rest < size - 1 or rest:find("[^\128-\191]") then return false end
    if (first == 0xE0 and second < 0xA0) or (first == 0xED and second > 0x9F) then return false end
    if (first == 0xF0 and second < 0x90) or (first == 0xF4 and second > 0x8F) then return false end
    position = position + size
  end
  return true
end

-- Answers instead of the service; the text becomes the message of the error envelope.
local function refuse(handle, status, message)
  handle:respond({[":status"] = tostring(status)}, message)
end

-- The methods of a path, or nil. The variable is the second segment, up to a colon, or the last.
local function methods_of(path)
  if #path > 1 and path:sub(-1) == "/" then path = path:sub(1, -2) end
  return METHODS[path] or METHODS[(path:gsub("^(/[^/]+/)[^/:]+", "%1*"))] or METHODS[(path:gsub("[^/]+$", "*"))]
end

local function check_method(handle, path, method)
  local allowed = methods_of(path)
  if allowed == nil or (" " .. allowed .. ","):find(" " .. method .. ",", 1, true) then return true end
  handle:respond({[":status"] = method == "OPTIONS" and "204" or "405", ["allow"] = allowed .. ", OPTIONS"}, "")
  return false
end

local function check_query(handle, path, query)
  local variable = VARIABLES[path:match("^/([^/]*)/.")]
  if variable == nil then return true end
  local wanted = variable:gsub("_", "")
  for name in query:gmatch("([^&=]+)[^&]*") do
    if decoded(name):gsub("_", ""):lower():find("^" .. wanted .. "%f[%W]") then
      refuse(handle, 400, variable .. " stands in the path and must not come as a parameter too")
      return false
    end
  end
  return true
end

-- The codings of bodies that a service undoes, on the paths that take any. It learns of them by a header that no caller can send.
local CODINGS = {gzip = true, ["x-gzip"] = true}

local function check_coding(handle, headers)
  local coding = headers:get("content-encoding")
  if coding == nil then return end
  local name = coding:lower()
  if name == "identity" then return end
  if not (CODINGS[name] and handle:filterContext():get("gzip")) then
    return refuse(handle, 415, "this path does not take bodies with content-encoding " .. coding)
  end
  headers:replace("x-internal-content-encoding", name)
  headers:remove("content-encoding")
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local content_type = headers:get("content-type")
  if is_grpc(content_type) then return end
  local target = headers:get(":path")
  if target:find("[%%\128-\255]") and not is_text(decoded(target)) then
    return refuse(handle, 400, "the path and the query must be UTF-8 without NUL")
  end
  local path, query = target:match("^([^?]*)%??(.*)$")
  if not check_method(handle, path, headers:get(":method")) then return end
  if query ~= "" and not check_query(handle, path, query) then return end
  if content_type ~= nil and not is_text(content_type) then return refuse(handle, 400, "content-type must be UTF-8") end
  check_coding(handle, headers)
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

-- An error envelope with the transcoder's own words, in the words and with the details that the services have for the same mistake.
-- Nil if it is about no field. What is taken from the words is JSON text already and stays as it is.
local function about_a_field(raw)
  local words = raw:match('^{"error":{"code":400,"details":%[%],"message":"(.*)","status":"INVALID_ARGUMENT"}}%s*$')
  if words == nil then return nil end
  local problem = "is not a parameter of this path"
  local field = words:match('^Could not find field \\"(.-)\\" in the type ')
  if field == nil then
    local kind
    field, kind = words:match("^([%w_.%[%]]+): invalid value .* for type TYPE_(%w+)$")
    problem = MUST_BE[kind] or "has a value of the wrong type"
  end
  if field == nil then
    field, problem = words:match("Cannot set '([%w_]+)' for type oneof$"), "must come once"
  end
  if field == nil then return nil end
  return '{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"' .. field .. " " .. problem
    .. '","details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"' .. field
    .. '","description":"' .. problem .. '","reason":""}]}]}}'
end

-- Turns a google.rpc.Status as the transcoder prints it into the error envelope; anything else stays as it is.
-- Returns the HTTP status, the text, and the seconds after which to try again if the status says so.
local function in_envelope(http, raw)
  local code, rest = raw:match('^{"code":(%d+),(.*)$')
  if code == nil then return http, about_a_field(raw) or raw end
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

function envoy_on_response(handle)
  local headers = handle:headers()
  local http = tonumber(headers:get(":status"))
  local content_type = headers:get("content-type") or ""
  local grpc = is_grpc(content_type)
  -- A native gRPC answer always has the HTTP status 200, whatever its grpc-status.
  if grpc and http == 200 then return end
  local chosen = headers:get("x-http-status")
  if chosen ~= nil then
    headers:remove("x-http-status")
    if not chosen:find("^[2-5]%d%d$") then chosen = nil end
  end
  if chosen == nil and http == 200 and content_type == "application/json" then
    -- The status of a path's successes, where it is not 200: a service that says nothing saves a message for each request.
    chosen = handle:filterContext():get("success")
  end
  if chosen ~= nil then
    http = tonumber(chosen)
    headers:replace(":status", chosen)
  end
  if http < 400 then return end
  local raw
  if grpc then
    raw = status_of_headers(headers)
    content_type = "application/json"
    headers:replace("content-type", content_type)
  end
  if not content_type:find("^application/json") then return end
  -- A status came in gRPC's headers and cannot be that long; an answer that is, such as the verdicts on 10,000 bad events, is not held back.
  if tonumber(headers:get("content-length") or "0") > LONGEST_STATUS then return end
  local body = handle:body(true)
  if body == nil then return end
  local status, text, seconds = in_envelope(http, raw or body:getBytes(0, body:length()))
  body:setBytes(text)
  headers = handle:headers()
  headers:replace(":status", tostring(status))
  headers:replace("content-length", tostring(#text))
  if seconds ~= nil and headers:get("retry-after") == nil then headers:replace("retry-after", tostring(seconds)) end
end
