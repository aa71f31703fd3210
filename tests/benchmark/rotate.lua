-- wrk script: each request carries the next photograph of a folder; one line of JSON at the end.
-- usage: wrk … -s rotate.lua http://HOST:PORT/PATH -- FOLDER COUNT      (FOLDER/000.jpg … COUNT files)

local requests, turn = {}, 0
local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
end

function init(args)
  refused = 0 -- global, for done() to fetch
  for number = 0, tonumber(args[2]) - 1 do
    local file = assert(io.open(string.format("%s/%03d.jpg", args[1], number), "rb"))
    requests[#requests + 1] = wrk.format("POST", nil, { ["Content-Type"] = "image/jpeg" }, file:read("*a"))
    file:close()
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function response(status)
  if status == 503 then refused = refused + 1 end
end

function done(summary, latency)
  local refusals = 0
  for _, thread in ipairs(threads) do refusals = refusals + thread:get("refused") end
  local e = summary.errors
  local seconds = summary.duration / 1e6
  io.write(string.format(
    '{"requests_per_s": %.3f, "p50_ms": %.3f, "p99_ms": %.3f, "refused": %d, "errors": %d}\n',
    (summary.requests - e.status) / seconds, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    refusals, e.status - refusals + e.connect + e.read + e.write + e.timeout))
end
