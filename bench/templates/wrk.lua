-- Sends one request over and over, or, with arguments FILE FIRST COUNT, a token from each line of FILE in turn:
-- COUNT of them, starting at FIRST (from 0). All requests are made before the clock starts.
init = function(args)
  local file, first, count = args[1], tonumber(args[2]), tonumber(args[3])
  if not file then return end
  local requests, number = {}, 0
  for token in io.lines(file) do
    if number >= first + count then break end
    if number >= first then
      wrk.headers["Authorization"] = "Bearer " .. token
      requests[#requests + 1] = wrk.format()
    end
    number = number + 1
  end
  local sent, total = 0, #requests
  request = function()
    sent = sent % total + 1
    return requests[sent]
  end
end

-- Prints what wrk counted as one line of JSON. `status` counts answers above 399; nothing here redirects.
done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"requests": %d, "seconds": %.6f, "bad_status": %d, "socket_errors": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
