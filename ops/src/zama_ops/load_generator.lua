-- Makes wrk send on a fixed schedule, independent of the answers (`zama load`).
--
-- Each request is due at a fixed moment. A free connection takes the next request and waits until it
-- is due. If no connection is free in time, the request is late, and its latency still counts from
-- when it was due; otherwise slow answers would hide delays (coordinated omission). X-Request-Id
-- carries the request's number, and the service returns it with the answer.
--
-- Prints `NUMBER DUE_US STATUS LATENCY_US` for every answer. Settings come from environment
-- variables, so that no process list shows the key.

local ffi = require("ffi")
ffi.cdef([[
    typedef struct { long seconds; long nanoseconds; } moment;
    int clock_gettime(int clock, moment *now);
]])

local MONOTONIC, FOREVER_MS = 1, 1000000
local moment = ffi.new("moment")
local interval_us = 1e6 / tonumber(os.getenv("RATE"))
local last = tonumber(os.getenv("REQUESTS"))
local began_us, taken, sent = nil, 0, 0
-- The start of each request's latency, by its number.
local since_us = {}

local function now_us()
    ffi.C.clock_gettime(MONOTONIC, moment)
    return tonumber(moment.seconds) * 1e6 + tonumber(moment.nanoseconds) / 1e3
end

function init()
    wrk.method, wrk.body = "POST", os.getenv("BODY")
    wrk.headers["Host"] = os.getenv("HOST_HEADER")
    wrk.headers["User-Agent"] = os.getenv("USER_AGENT")
    wrk.headers["Content-Type"] = "application/json"
    wrk.headers["X-Api-Key"] = os.getenv("API_KEY")
    io.stdout:setvbuf(os.getenv("BUFFERING"))
end

-- Called when a connection is free: returns the milliseconds until it sends.
function delay()
    local now = now_us()
    began_us = began_us or now
    if taken == last then
        return FOREVER_MS
    end
    taken = taken + 1
    local due = began_us + (taken - 1) * interval_us
    -- Late only if no connection was free: a timer's inaccuracy must not count.
    since_us[taken] = now > due and due or nil
    return math.max(0, math.floor((due - now) / 1e3))
end

-- Called in the order of the timers, which is the order of the due times.
function request()
    if not began_us then
        -- wrk formats one request before it starts.
        return wrk.format()
    end
    sent = sent + 1
    since_us[sent] = since_us[sent] or now_us()
    wrk.headers["X-Request-Id"] = "load-" .. sent
    return wrk.format()
end

function response(status, headers)
    local now = now_us()
    -- wrk does not normalize header names, and the API sends them in lower case.
    local id = headers["X-Request-Id"] or headers["x-request-id"] or ""
    local number = tonumber(id:match("^load%-(%d+)$"))
    if number then
        local due = (number - 1) * interval_us
        print(("%d %.0f %d %.0f"):format(number, due, status, now - since_us[number]))
    end
end
