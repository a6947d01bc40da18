-- An administrator alone can take a clearance away, and not give one.
BEGIN;
SELECT plan(9);
CREATE ROLE boss LOGIN;
CREATE ROLE carla LOGIN;
SELECT hub.add_member('boss', 'hub_admin', 'boss') \g /dev/null
SELECT hub.add_member('carla', 'hub_compliance', 'carla') \g /dev/null

SET SESSION AUTHORIZATION boss;
SELECT lives_ok($$SELECT hub.set_clearance('hub_agent', 'contact', 'deny')$$, 'taking away');
SELECT throws_ok($$SELECT hub.set_clearance('hub_agent', 'contact', 'mask')$$, 'CH303', NULL, 'giving back needs an approval');
SELECT throws_ok($$SELECT hub.set_clearance('hub_admin', 'special', 'reveal')$$, 'CH303', NULL, 'so does giving to oneself');
SELECT hub.request_approval('change_clearance', '{"role": "hub_agent", "data_class": "contact", "level": "mask"}', 'was a mistake') AS request \gset
SELECT throws_ok($$SELECT hub.set_clearance('hub_agent', 'contact', 'mask')$$, 'CH303', NULL, 'asking is not enough');
SET SESSION AUTHORIZATION carla;
SELECT hub.approve(:request) \g /dev/null
SELECT throws_ok($$SELECT hub.set_clearance('hub_agent', 'contact', 'mask')$$, '42501', NULL, 'who approves does not set');
SET SESSION AUTHORIZATION boss;
SELECT throws_ok($$SELECT hub.set_clearance('hub_agent', 'contact', 'reveal')$$, 'CH303', NULL, 'approved is what was asked for, no more');
SELECT lives_ok($$SELECT hub.set_clearance('hub_agent', 'contact', 'mask')$$, 'approved');
SELECT is(hub.clearance_of('hub_agent', 'contact'), 'mask', 'and done');
SELECT hub.set_clearance('hub_agent', 'contact', 'deny') \g /dev/null
SELECT throws_ok($$SELECT hub.set_clearance('hub_agent', 'contact', 'mask')$$, 'CH303', NULL, 'an approval is used once');
RESET SESSION AUTHORIZATION;
SELECT * FROM finish();
ROLLBACK;
