-- Takes from all counters or from none, and remembers that this request has.
--
-- KEYS: the request's mark; each counter; for each counter the set of its holds.
-- ARGV: request, digest, lease, term; then for each counter: window, sliding, max, amount, enforce, leased. Times are in
-- milliseconds, flags are 0 or 1.
-- Returns: what became of it (1 held, 0 denied, -1 the request has taken something else), the windows' indexes, and for each
-- counter: used, open, milliseconds until the window ends, whether it was exceeded.
--
-- A counter is the text index:used:last:open, read and written once: most of a script's time are its calls.
local MOST = 9007199254740992
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local request, digest, lease, term = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local n = (#KEYS - 1) / 2

local known = redis.call('MGET', unpack(KEYS, 1, n + 1))
local mark = known[1]
if mark and mark:sub(3, 2 + #digest) ~= digest then return { -1, '' } end

-- A counter, rolled on to the present window. A clock that has gone back stays in the window that was reached.
local function load(at)
  local arg = 5 + (at - 1) * 6
  local c = {
    key = KEYS[at + 1], window = tonumber(ARGV[arg]), sliding = ARGV[arg + 1] == '1', max = tonumber(ARGV[arg + 2]),
    amount = tonumber(ARGV[arg + 3]), enforce = ARGV[arg + 4] == '1', leased = ARGV[arg + 5] == '1',
    used = 0, last = 0, open = 0,
  }
  c.index = math.floor(now / c.window)
  local index, used, last, open = (known[at + 1] or ''):match('^(%d+):(%d+):(%d+):(%d+)$')
  index = tonumber(index)
  if index and index >= c.index then
    c.index, c.used, c.last, c.open = index, tonumber(used), tonumber(last), tonumber(open)
  elseif index and index == c.index - 1 then
    c.last = tonumber(used)
  end
  c.left = (c.index + 1) * c.window - now
  c.lives = c.sliding and c.left + c.window or c.left
  return c
end

-- Gives back what nobody has settled within its lease, up to 64 holds at a time.
local function give_back(c, holds)
  for _, hold in ipairs(redis.call('ZRANGEBYSCORE', holds, '-inf', now, 'LIMIT', 0, 64)) do
    local index, amount = hold:match('^(%d+):(%d+):')
    index, amount = tonumber(index), tonumber(amount)
    if index == c.index then
      c.used, c.open = math.max(0, c.used - amount), math.max(0, c.open - 1)
    elseif index == c.index - 1 then
      c.last = math.max(0, c.last - amount)
    end
    redis.call('ZREM', holds, hold)
    c.changed = true
  end
end

local function count(c)
  if not c.sliding then return c.used end
  return math.min(MOST, c.used + math.ceil(c.last * math.min(c.left, c.window) / c.window))
end

local counters, took = {}, not mark
for at = 1, n do
  local c = load(at)
  if c.leased then give_back(c, KEYS[n + 1 + at]) end
  -- A difference is exact where a sum might not be.
  c.exceeded = not mark and c.amount > c.max - count(c)
  took = took and not (c.exceeded and c.enforce)
  counters[at] = c
end

local indexes, lives = {}, 1
for at, c in ipairs(counters) do
  -- With %d a number above 2^31 is not safe on every machine, and without a format Lua writes 1e+15.
  indexes[at] = string.format('%.0f', c.index)
  if took then
    c.used, c.open, c.changed = math.min(MOST, c.used + c.amount), c.open + 1, true
    lives = math.max(lives, c.lives)
    if c.leased then
      local holds = KEYS[n + 1 + at]
      redis.call('ZADD', holds, now + lease, string.format('%s:%.0f:%s', indexes[at], c.amount, request))
      redis.call('PEXPIRE', holds, c.lives)
    end
  end
  if c.changed then
    redis.call('SET', c.key, string.format('%.0f:%.0f:%.0f:%.0f', c.index, c.used, c.last, c.open), 'PX', c.lives)
  end
end
if took then
  mark = 'o:' .. digest .. ':' .. table.concat(indexes, ',')
  redis.call('SET', KEYS[1], mark, 'PX', math.min(term, lives))
end

local reply = { mark and 1 or 0, mark and mark:sub(4 + #digest) or '' }
for at, c in ipairs(counters) do
  local from = 4 * at - 1
  reply[from], reply[from + 1], reply[from + 2], reply[from + 3] = count(c), c.open, c.left, c.exceeded and 1 or 0
end
return reply
