-- Puts what was used in place of what was reserved, once, in the window that it was reserved from. A window that is gone
-- stays gone, and nothing here lives longer than it did.
--
-- KEYS: the request's mark; each counter; for each counter the set of its holds.
-- ARGV: request, digest; then for each counter: the window's index, what was reserved, what was used, whether it is leased.
-- Returns 1, or 0 if this reservation was settled before or is too old.
local MOST = 9007199254740992
local request, digest = ARGV[1], ARGV[2]
local n = (#KEYS - 1) / 2

local known = redis.call('MGET', unpack(KEYS, 1, n + 1))
local mark = known[1]
if not mark or mark:sub(1, 2 + #digest) ~= 'o:' .. digest then return 0 end
redis.call('SET', KEYS[1], 's' .. mark:sub(2), 'KEEPTTL')

for at = 1, n do
  local arg = 3 + (at - 1) * 4
  local index, reserved, used = tonumber(ARGV[arg]), tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2])
  local held = true
  if ARGV[arg + 3] == '1' then
    held = redis.call('ZREM', KEYS[n + 1 + at], ARGV[arg] .. ':' .. ARGV[arg + 1] .. ':' .. request) == 1
  end
  -- A hold that has been given back no longer counts: then all of the use is new.
  local more = held and used - reserved or used
  local function settled(was) return math.min(MOST, math.max(0, was + more)) end

  local present, this, last, open = (known[at + 1] or ''):match('^(%d+):(%d+):(%d+):(%d+)$')
  present, this, last, open = tonumber(present), tonumber(this), tonumber(last), tonumber(open)
  if present == index then
    this, open = settled(this), math.max(0, open - (held and 1 or 0))
  elseif present == index + 1 then
    last = settled(last)
  else
    present = nil
  end
  if present then
    redis.call('SET', KEYS[at + 1], string.format('%.0f:%.0f:%.0f:%.0f', present, this, last, open), 'KEEPTTL')
  end
end
return 1
