-- One write of one host: all of it or nothing.
-- KEYS: state (hash; the field '' is the version), outbox (hash).
-- ARGV: expected version, version to make, time to live in ms, and as MessagePack arrays: names and values to set, names to
-- delete, ids and records for the outbox. (As arguments of their own they cost the client a quarter to a half more CPU.)
-- Returns 1 if the write is in the store, 0 if another one came first.
local state, outbox = KEYS[1], KEYS[2]
local expected, made, ttl = ARGV[1], ARGV[2], ARGV[3]

local stored = redis.call('HGET', state, '') or '0'
if stored == made then return 1 end -- this very write, whose answer was lost
if stored ~= expected then return 0 end

local function call(command, key, packed)
  local values = cmsgpack.unpack(packed)
  for from = 1, #values, 4000 do -- unpack takes no more than 8,000
    redis.call(command, key, unpack(values, from, math.min(from + 3999, #values)))
  end
end

-- Sets before deletes: out of memory, Redis refuses the first HSET, but would still carry out an HDEL.
redis.call('HSET', state, '', made)
call('HSET', state, ARGV[4])
call('HSET', outbox, ARGV[6])
call('HDEL', state, ARGV[5])
redis.call('PEXPIRE', state, ttl)
redis.call('PEXPIRE', outbox, ttl)
return 1
