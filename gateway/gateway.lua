-- Checks what the transcoder does not check, and gives answers their HTTP status and their error envelope.
-- Runs before the transcoder: it sees requests as the client sent them and answers as the transcoder made them. Of native gRPC it checks the
-- headers; the answers pass untouched.

-- The methods of each path; `*` stands for a variable. Whoever may GET may HEAD too. A path that is not here is left to the transcoder, which answers 404 to a method
-- it does not know. A test holds this against the annotations of the protos.
local METHODS = {
  ["/audit"] = "GET",
  ["/audit/repair"] = "POST",
  ["/campaigns"] = "GET",
  ["/debug/explain"] = "GET",
  ["/debug/match"] = "GET",
  ["/debug/policy:try"] = "POST",
  ["/debug/review"] = "GET",
  ["/debug/shared"] = "GET",
  ["/debug/shared:undo"] = "POST",
  ["/docs"] = "GET",
  ["/docs/*"] = "GET",
  ["/erasures"] = "POST",
  ["/erasures/*"] = "GET",
  ["/events"] = "POST",
  ["/events/*"] = "GET",
  ["/events:validate"] = "POST",
  ["/health"] = "GET",
  ["/healthz"] = "GET",
  ["/identify"] = "POST",
  ["/live"] = "GET",
  ["/merge"] = "POST",
  ["/merges/*:undo"] = "POST",
  ["/metrics"] = "GET",
  ["/never-merges"] = "POST",
  ["/never-merges/*:remove"] = "POST",
  ["/openapi.json"] = "GET",
  ["/reference"] = "GET",
  ["/reference/users"] = "PATCH, PUT",
  ["/reference/users/*"] = "GET",
  ["/stats"] = "GET",
  ["/users/*"] = "DELETE, GET",
  ["/users/*/export"] = "GET",
  ["/users/*/graph"] = "GET",
  ["/users/*/identifiers:attach"] = "POST",
  ["/users/*/identifiers:detach"] = "POST",
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

-- Parameters that are lists: they may come more than once. A test holds this against the protos too.
local LISTS = {
  ["/metrics"] = " group_by ",
  ["/stats"] = " creative_id source type ",
}

-- The names of google.rpc.Code by number. What callers cannot act upon differently has one name.
local STATUS = {
  [1] = "CANCELLED", [2] = "INTERNAL", [3] = "INVALID_ARGUMENT", [4] = "DEADLINE_EXCEEDED", [5] = "NOT_FOUND", [6] = "ALREADY_EXISTS",
  [7] = "PERMISSION_DENIED", [8] = "RESOURCE_EXHAUSTED", [9] = "FAILED_PRECONDITION", [10] = "ABORTED", [11] = "OUT_OF_RANGE",
  [12] = "UNIMPLEMENTED", [13] = "INTERNAL", [14] = "UNAVAILABLE", [15] = "INTERNAL", [16] = "UNAUTHENTICATED",
}

-- The headers of JSON callers that something behind this filter reads; no other goes on. `:` headers always do.
local READ = {
  accept = true, ["content-encoding"] = true, ["content-length"] = true, ["content-type"] = true, host = true, ["idempotency-key"] = true,
  prefer = true, te = true, traceparent = true, tracestate = true, ["x-forwarded-proto"] = true,
  ["x-request-id"] = true,
}

local LONGEST_STATUS = 131072 -- bytes
local LONGEST_NAME = 100 -- bytes of a parameter's name that an answer repeats
local MIB = 1048576
local READ_AND_DROPPED = 128 * MIB -- of a body over the limit of its path

-- As Envoy's own matchers have it: parameters (`application/grpc;x`) make it another type.
local function is_grpc(content_type)
  return content_type ~= nil and (content_type == "application/grpc" or content_type:sub(1, 17) == "application/grpc+")
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

-- Answers instead of the service; the text becomes the message of the error envelope, or of the gRPC status.
local function refuse(handle, status, message)
  handle:respond({[":status"] = tostring(status), ["grpc-status"] = "3"}, message)
  return false
end

-- What the log and envoy_on_response want to know of the request.
local function note(handle, name, value)
  handle:streamInfo():dynamicMetadata():set("dmp", name, value)
end

-- Refuses names and values that gRPC's library cannot read: it would log the value, or end the call with a failure.
-- Of JSON callers' headers those stay that somebody reads, of native callers' all but cookies.
local function check_headers(handle, headers, native)
  local unread = {}
  for name, value in pairs(headers) do
    local first = name:byte()
    if first ~= 58 then -- a colon
      if name:find("[^0-9a-z_.-]") then return refuse(handle, 400, "a header's name has a character that is none of 0-9 a-z _ . -") end
      if native and name ~= "cookie" then
        if value:find("[^ -~]") then return refuse(handle, 400, name .. " must be ASCII") end
      elseif not READ[name] then
        unread[#unread + 1] = name
      elseif value:find("[\128-\255]") and not is_text(value) then
        return refuse(handle, 400, name .. " must be UTF-8")
      end
    end
  end
  for _, name in ipairs(unread) do headers:remove(name) end
  return true
end

-- A native caller's deadline is one that gRPC's library can read. The connection manager has already put it into its own words.
local function check_deadline(handle, headers)
  local sent = headers:get("x-internal-deadline")
  headers:remove("x-internal-deadline")
  local number = sent == nil and "0" or sent:match("^(%d+)[HMSmun]$")
  if number == nil or #number > 8 then return refuse(handle, 400, "grpc-timeout must be 1 to 8 digits and one of H M S m u n") end
  return true
end

-- The services undo gzip, within the limit of the RPC; gRPC's library logs any other coding.
local function check_message_coding(handle, headers)
  local coding = headers:get("grpc-encoding") or "identity"
  if coding == "identity" or coding == "gzip" then return true end
  local headers_of_answer = {[":status"] = "400", ["grpc-status"] = "12", ["grpc-accept-encoding"] = "identity,gzip"}
  handle:respond(headers_of_answer, "grpc-encoding must be identity or gzip")
  return false
end

-- The methods of a path and the path as METHODS has it, or nil. The variable is the second segment, up to a colon, or the last.
local function methods_of(path)
  if #path > 1 and path:sub(-1) == "/" then path = path:sub(1, -2) end
  for _, name in ipairs({path, (path:gsub("^(/[^/]+/)[^/:]+", "%1*")), (path:gsub("[^/]+$", "*"))}) do
    if METHODS[name] ~= nil then return METHODS[name]:gsub("GET", "GET, HEAD"), name end
  end
end

local function check_method(handle, allowed, method)
  if (" " .. allowed .. ","):find(" " .. method .. ",", 1, true) then return true end
  handle:respond({[":status"] = method == "OPTIONS" and "204" or "405", ["allow"] = allowed .. ", OPTIONS"}, "")
  return false
end

-- Each parameter comes once, whatever its spelling, unless it is a list; files take none. The transcoder knows which there are.
local function check_query(handle, path, query, lists)
  lists = (lists or ""):gsub("_", "")
  local variable = VARIABLES[path:match("^/([^/]*)/.")]
  local wanted = variable and variable:gsub("_", "")
  local seen = {}
  for name in query:gmatch("([^&=]+)[^&]*") do
    local key = decoded(name):gsub("_", ""):lower()
    local shown = name:sub(1, LONGEST_NAME)
    if wanted and key:find("^" .. wanted .. "%f[%W]") then
      return refuse(handle, 400, variable .. " stands in the path and must not come as a parameter too")
    end
    if seen[key] then return refuse(handle, 400, shown .. " must come once") end
    if path:find("^/docs") or path == "/openapi.json" then return refuse(handle, 400, shown .. " is not a parameter of this path") end
    seen[key] = not lists:find(" " .. key .. " ", 1, true)
  end
  return true
end

-- The codings of bodies that a service undoes, on the paths that take any. It learns of them by a header that no caller can send.
local CODINGS = {gzip = true, ["x-gzip"] = true}

local function check_coding(handle, headers)
  local coding = headers:get("content-encoding")
  if coding == nil then return true end
  local name = coding:lower()
  if name == "identity" then return true end
  if not (CODINGS[name] and handle:filterContext():get("gzip")) then
    return refuse(handle, 415, "this path does not take bodies with content-encoding " .. coding)
  end
  headers:replace("x-internal-content-encoding", name)
  headers:remove("content-encoding")
  return true
end

-- Reads a body on that is over its path's limit, and drops it; the routes then answer 413. Many clients of HTTP/1.1 do not listen while they
-- send: an answer before the end, and the end of the connection, would reach them as a reset.
local function drop_what_is_too_large(handle, headers)
  if handle:streamInfo():protocol() ~= "HTTP/1.1" then return end
  local limit = handle:filterContext():get("limit") or MIB
  local length = headers:get("content-length")
  length = length and tonumber(length)
  if length ~= nil and (length <= limit or length > READ_AND_DROPPED) then return end
  if length == nil and headers:get(":method") == "GET" then return end
  local too_large, received = false, 0
  local function refuse_at_the_end()
    too_large = true
    note(handle, "too_large", true)
    handle:clearRouteCache()
  end
  if length ~= nil then
    headers:remove("content-length")
    refuse_at_the_end()
  end
  for chunk in handle:bodyChunks() do
    received = received + chunk:length()
    if not too_large and received > limit then refuse_at_the_end() end
    if too_large and received <= READ_AND_DROPPED then chunk:setBytes("") end
  end
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local native = is_grpc(headers:get("content-type"))
  local target = headers:get(":path")
  if native then
    note(handle, "path", target:match("^/dmp%.%l+%.v1%.%a+/%a+$"))
    return check_headers(handle, headers, true) and check_deadline(handle, headers) and check_message_coding(handle, headers)
  end
  local path, query = target:match("^([^?]*)%??(.*)$")
  local allowed, name = methods_of(path)
  note(handle, "path", name or "none of the API")
  if not check_headers(handle, headers, false) then return end
  if target:find("[%%\128-\255]") and not is_text(decoded(target)) then
    return refuse(handle, 400, "the path and the query must be UTF-8 without NUL")
  end
  local method = headers:get(":method")
  if allowed ~= nil and not check_method(handle, allowed, method) then return end
  if query ~= "" and not check_query(handle, path, query, LISTS[name]) then return end
  if not check_coding(handle, headers) then return end
  if method == "HEAD" and allowed ~= nil then
    note(handle, "head", name)
    if name == "/live" then return handle:respond({[":status"] = "200"}, "") end -- the real answer does not end
    headers:replace(":method", "GET")
  end
  drop_what_is_too_large(handle, headers)
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

function envoy_on_response(handle)
  local headers = handle:headers()
  local content_type = headers:get("content-type") or ""
  local grpc = is_grpc(content_type)
  -- A native gRPC answer always has the HTTP status 200, whatever its grpc-status.
  if grpc and headers:get(":status") == "200" then return name_the_limit(headers) end
  local http = choose_status(handle, headers, content_type)
  local noted = handle:streamInfo():dynamicMetadata():get("dmp")
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
    headers:replace("cache-control", "no-cache")
    headers:replace("x-accel-buffering", "no")
  elseif head then
    for chunk in handle:bodyChunks() do chunk:setBytes("") end
  end
end
