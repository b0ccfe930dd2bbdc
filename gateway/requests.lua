-- Checks of requests what the transcoder does not check: their headers, path, query, method and coding. Of native gRPC only the headers.
-- Runs before the transcoder: it sees requests as the client sent them.

-- The methods of each path; `*` stands for a variable. Whoever may GET may HEAD too. A path that is not here is left to the transcoder, which answers 404 to a method
-- it does not know. A test holds this against the annotations of the protos.
local METHODS = {
  ["/admin/actions"] = "GET",
  ["/audit"] = "GET",
  ["/audit/repair"] = "POST",
  ["/campaigns"] = "GET",
  ["/console"] = "GET",
  ["/console/*"] = "GET",
  ["/debug/explain"] = "GET",
  ["/debug/match"] = "GET",
  ["/debug/policy:try"] = "POST",
  ["/debug/review"] = "GET",
  ["/debug/shared"] = "GET",
  ["/debug/shared:undo"] = "POST",
  ["/dmp.js"] = "GET",
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
  ["/redoc"] = "GET",
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

-- The headers of JSON callers that something behind this filter reads; no other goes on. `:` headers always do.
local READ = {
  accept = true, ["content-encoding"] = true, ["content-length"] = true, ["content-type"] = true, host = true, ["idempotency-key"] = true,
  prefer = true, te = true, traceparent = true, tracestate = true, ["x-forwarded-proto"] = true,
  ["x-internal-caller"] = true, ["x-internal-stamp"] = true, ["x-request-id"] = true,
}

local LONGEST_NAME = 100 -- bytes of a parameter's name that an answer repeats
local MIB = 1048576
local KEPT_BACK = "\0\0\0\0\1\7" -- dmp_chassis.requests knows it
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
-- Of JSON callers' headers those stay that somebody reads, of native callers' all but cookies. Of a file there are two codings.
local function check_headers(handle, headers, native, file)
  local unread = {}
  for name, value in pairs(headers) do
    local first = name:byte()
    if first ~= 58 then -- a colon
      if name:find("[^0-9a-z_.-]") then return refuse(handle, 400, "a header's name has a character that is none of 0-9 a-z _ . -") end
      if native and name ~= "cookie" then
        if value:find("[^ -~]") then return refuse(handle, 400, name .. " must be ASCII") end
      elseif not READ[name] and not (file and name == "accept-encoding") then
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

-- What is a file of the gateway: the console, the documentation and the snippet.
local function is_file(path)
  return path == "/openapi.json" or path == "/dmp.js" or path:find("^/docs") or path:find("^/redoc") or path:find("^/console")
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
    if is_file(path) then return refuse(handle, 400, shown .. " is not a parameter of this path") end
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

-- Keeps a message of a native stream back that is longer than it may be: gRPC's library holds all of a message, up to 4 GiB, before it looks at the
-- length. In its place the service gets a message that none can be, and answers it; nothing that follows is passed on.
local function keep_long_messages_back(handle, most)
  local left, cut, dropping, dropped = 0, "", false, false -- of the message under way: the bytes to come, or its first ones if these are not five yet
  for chunk in handle:bodyChunks() do
    if cut ~= "" then chunk:setBytes(cut .. chunk:getBytes(0, chunk:length())) end
    local size, position = chunk:length(), left
    cut = ""
    while position + 5 <= size and not dropping do
      local a, b, c, d = chunk:getBytes(position + 1, 4):byte(1, 4)
      local length = ((a * 256 + b) * 256 + c) * 256 + d
      if length > most then
        dropping = true
        chunk:setBytes(chunk:getBytes(0, position) .. KEPT_BACK)
      else
        position = position + 5 + length
      end
    end
    if dropped then
      chunk:setBytes("")
    elseif dropping then
      dropped = true
    elseif position < size then
      left, cut = 0, chunk:getBytes(position, size - position)
      chunk:setBytes(chunk:getBytes(0, position))
    else
      left = position - size
    end
  end
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local native = is_grpc(headers:get("content-type"))
  local target = headers:get(":path")
  if native then
    note(handle, "path", target:match("^/dmp%.%l+%.v1%.%a+/%a+$"))
    if not (check_headers(handle, headers, true) and check_deadline(handle, headers) and check_message_coding(handle, headers)) then return end
    local most = handle:filterContext():get("most_bytes_of_a_message")
    if most ~= nil then keep_long_messages_back(handle, most) end
    return
  end
  local path, query = target:match("^([^?]*)%??(.*)$")
  local allowed, name = methods_of(path)
  note(handle, "path", name or "none of the API")
  if not check_headers(handle, headers, false, is_file(path)) then return end
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
