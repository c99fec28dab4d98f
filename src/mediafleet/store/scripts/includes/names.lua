-- A queue's name begins with the first letter of its class: l, i or b.
local function class_of(queue) return string.sub(queue, 1, 1) end

local function tenant_key(queue, tenant) return P .. 'queue:' .. queue .. ':tenant:' .. tenant end

local function members_key(pool) return P .. 'pool:' .. pool .. ':members' end

local function batch_key(pool) return P .. 'pool:' .. pool .. ':batch' end
