-- Makes wrk send on a schedule, whatever the answers (`zama load`).
--
-- Requests are due at fixed moments. A free connection takes the next one and waits until it is due;
-- if none was free in time, the request is late, and its latency counts from when it was due, so
-- that a slow answer does not hide how long others would have waited (coordinated omission). Each
-- request's number travels in X-Request-Id, which the service gives back with the answer.
--
-- Prints `NUMBER DUE_US STATUS LATENCY_US` for every answer. Settings come from the environment, so
-- that no list of processes shows the key.

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
-- By the request's number: from when its latency counts.
local since_us = {}

local function now_us()
    ffi.C.clock_gettime(MONOTONIC, moment)
    return tonumber(moment.seconds) * 1e6 + tonumber(moment.nanoseconds) / 1e3
end

function init()
    wrk.method, wrk.body = "POST", os.getenv("BODY")
    wrk.headers["Host"] = os.getenv("HOST_HEADER")
    wrk.headers["Content-Type"] = "application/json"
    wrk.headers["X-Api-Key"] = os.getenv("API_KEY")
    io.stdout:setvbuf(os.getenv("BUFFERING"))
end

-- A connection is free: milliseconds until it sends.
function delay()
    local now = now_us()
    began_us = began_us or now
    if taken == last then
        return FOREVER_MS
    end
    taken = taken + 1
    local due = began_us + (taken - 1) * interval_us
    -- Late only if no connection was free; a timer's inaccuracy is not the service's.
    since_us[taken] = now > due and due or nil
    return math.max(0, math.floor((due - now) / 1e3))
end

-- In the order in which they are due, for so are the timers.
function request()
    if not began_us then
        -- wrk looks at one beforehand.
        return wrk.format()
    end
    sent = sent + 1
    since_us[sent] = since_us[sent] or now_us()
    wrk.headers["X-Request-Id"] = "load-" .. sent
    return wrk.format()
end

function response(status, headers)
    local now = now_us()
    -- wrk leaves names as they came; the API writes them small.
    local id = headers["X-Request-Id"] or headers["x-request-id"] or ""
    local number = tonumber(id:match("^load%-(%d+)$"))
    if number then
        local due = (number - 1) * interval_us
        print(("%d %.0f %d %.0f"):format(number, due, status, now - since_us[number]))
    end
end
