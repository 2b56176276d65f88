-- One write of one host: all of it or nothing.
-- KEYS: state (hash; the field '' is the version), outbox (hash).
-- ARGV: expected version, version to make, time to live in ms, numbers of fields to set and to delete, then names and values
-- to set, names to delete, ids and records for the outbox.
-- Returns 1 if the write is in the store, 0 if another one came first.
local state, outbox = KEYS[1], KEYS[2]
local expected, made, ttl = ARGV[1], ARGV[2], ARGV[3]
local lastSet = 5 + 2 * tonumber(ARGV[4])
local lastDelete = lastSet + tonumber(ARGV[5])

local stored = redis.call('HGET', state, '') or '0'
if stored == made then return 1 end -- this very write, whose answer was lost
if stored ~= expected then return 0 end

local function call(command, key, first, last)
  for from = first, last, 4000 do -- unpack takes no more than 8,000
    redis.call(command, key, unpack(ARGV, from, math.min(from + 3999, last)))
  end
end

-- Sets before deletes: out of memory, Redis refuses the first HSET, but would still carry out an HDEL.
redis.call('HSET', state, '', made)
call('HSET', state, 6, lastSet)
call('HSET', outbox, lastDelete + 1, #ARGV)
call('HDEL', state, lastSet + 1, lastDelete)
redis.call('PEXPIRE', state, ttl)
redis.call('PEXPIRE', outbox, ttl)
return 1
