-- The fence of everything that only a leader may do: `lead` = {instance, epoch} as it was when it was elected. One that
-- slept through its lease is refused, also where nobody has been elected since.
local function leads(lead)
  return redis.call('GET', P .. 'leader') == lead.instance and redis.call('GET', P .. 'leader:epoch') == tostring(lead.epoch)
end
