-- Who approves what, for how long, and how it is carried out.
SELECT plan(53);
CREATE ROLE anna LOGIN;
CREATE ROLE bert LOGIN;
CREATE ROLE carla LOGIN;
CREATE ROLE dora LOGIN;
CREATE ROLE boss LOGIN;
SELECT hub.add_member('anna', 'hub_agent', 'anna', '{DE}', '{1}', '{1}') AS anna \gset
SELECT hub.add_member('bert', 'hub_manager', 'bert', '{DE}', '{1}', '{1,2}') AS bert \gset
SELECT hub.add_member('carla', 'hub_compliance', 'carla', '{DE}', '{1}', '{3}') AS carla \gset
SELECT hub.add_member('dora', 'hub_compliance', 'dora', '{DE}') AS dora \gset
SELECT hub.add_member('boss', 'hub_admin', 'boss') AS boss \gset
\setenv DATABASE :DBNAME

-- the policy is the administrator's to tighten, and not to loosen alone
SET SESSION AUTHORIZATION boss;
SELECT lives_ok('SELECT hub.set_approval_policy(''transfer'', 2, ''{hub_compliance,hub_manager}'', false, ''1 day'')', 'an administrator makes it harder');
SELECT throws_ok('SELECT hub.set_approval_policy(''transfer'', 1, ''{hub_compliance,hub_manager}'', false, ''1 day'')', 'CH303', NULL, 'fewer approvals need one');
SELECT throws_ok('SELECT hub.set_approval_policy(''transfer'', 2, ''{hub_compliance,hub_admin}'', false, ''1 day'')', 'CH303', NULL, 'so do other roles');
SELECT throws_ok('SELECT hub.set_approval_policy(''transfer'', 2, ''{hub_compliance,hub_manager}'', true, ''1 day'')', 'CH303', NULL, 'and one''s own team');
SELECT throws_ok('SELECT hub.set_approval_policy(''transfer'', 2, ''{hub_compliance,hub_manager}'', false, ''1 year'')', 'CH303', NULL, 'and more time');
SELECT throws_ok('SELECT hub.set_approval_policy(''change_approval_policy'', 1, ''{hub_admin}'', true, ''3 days'')', 'CH303', NULL, 'for this action too');
SELECT throws_ok('SELECT hub.set_approval_policy(''transfer'', 1, ''{nobody}'')', '42704', NULL, 'approvers are hub roles');
SELECT hub.request_approval('change_approval_policy',
	'{"action": "transfer", "approvals_needed": 1, "approver_roles": ["hub_compliance", "hub_manager"], "same_team": false, "valid_for": "1 day"}', 'too slow') AS request \gset
SELECT throws_ok(format('SELECT hub.carry_out(%s)', :request), 'CH303', NULL, 'nothing is carried out before it is approved');
SET SESSION AUTHORIZATION carla;
SELECT throws_ok(format('SELECT hub.carry_out(%s)', :request), 'CH205', NULL, 'nor by somebody else');
SELECT is(hub.approve(:request), 'approved', 'compliance approves');
SET SESSION AUTHORIZATION boss;
SELECT lives_ok(format('SELECT hub.carry_out(%s)', :request), 'what was approved is carried out');
SELECT is((SELECT approvals_needed FROM hub.approval_policy_effective WHERE action = 'transfer'), 1, 'with its parameters');
SELECT throws_ok(format('SELECT hub.carry_out(%s)', :request), 'CH303', NULL, 'once');

-- a right to the function makes no administrator
RESET SESSION AUTHORIZATION;
GRANT EXECUTE ON FUNCTION hub.set_approval_policy(text, int, name[], bool, interval) TO hub_agent;
SET SESSION AUTHORIZATION anna;
SELECT throws_ok('SELECT hub.set_approval_policy(''transfer'', 3, ''{hub_compliance,hub_manager}'', false, ''1 day'')', 'CH205', NULL, 'the policy is for administrators alone');

-- a team does not approve itself where the policy says so
SET SESSION AUTHORIZATION anna;
SELECT hub.request_approval('transfer', '{"n": 1}', 'asked by anna') AS request \gset
SELECT throws_ok(format('SELECT hub.reject(%s)', :request), 'CH304', NULL, 'a requester rejects nothing, but withdraws');
SET SESSION AUTHORIZATION bert;
SELECT is((SELECT may_decide FROM hub.approval_queue WHERE request = :request), false, 'the queue tells a manager of the same team that it is not theirs');
SELECT throws_ok(format('SELECT hub.approve(%s)', :request), 'CH205', NULL, 'who cannot approve it');
SET SESSION AUTHORIZATION carla;
SELECT is((SELECT may_decide FROM hub.approval_queue WHERE request = :request), true, 'and somebody else that it is');
SELECT is(hub.approve(:request), 'approved', 'who can');
SELECT is((SELECT may_decide FROM hub.approval_queue WHERE request = :request), false, 'and has, then');
SET SESSION AUTHORIZATION dora;
SELECT throws_ok(format('SELECT hub.approve(%s)', :request), 'CH303', NULL, 'what is approved needs no further approval');

-- an approval is good while the approver is, and while nobody takes it back
RESET SESSION AUTHORIZATION;
SELECT hub.deactivate_member(:carla) \g /dev/null
SELECT throws_ok('SELECT hub.require_approval(''transfer'', ''{"n": 1}'')', 'CH303', NULL, 'the approval of one who has left does not count');
SELECT hub.reactivate_member(:carla) \g /dev/null
SELECT hub.set_member_role(:carla, 'hub_agent') \g /dev/null
SELECT throws_ok('SELECT hub.require_approval(''transfer'', ''{"n": 1}'')', 'CH303', NULL, 'nor that of one who is no approver any more');
SELECT hub.set_member_role(:carla, 'hub_compliance') \g /dev/null
SELECT hub.set_approval_policy('transfer', 2, '{hub_compliance}') \g /dev/null
SELECT throws_ok('SELECT hub.require_approval(''transfer'', ''{"n": 1}'')', 'CH303', NULL, 'nor one where two are needed by now');
SELECT hub.set_approval_policy('transfer', 1, '{hub_compliance}') \g /dev/null
SELECT hub.set_member_scope(:carla, '{DE}', '{1}', '{1}') \g /dev/null
SELECT hub.set_approval_policy('transfer', 1, '{hub_compliance}', false) \g /dev/null
SELECT throws_ok('SELECT hub.require_approval(''transfer'', ''{"n": 1}'')', 'CH303', NULL, 'nor that of one who has joined the team');
SELECT hub.set_member_scope(:carla, '{DE}', '{1}', '{3}') \g /dev/null
SET SESSION AUTHORIZATION dora;
SELECT lives_ok(format('SELECT hub.reject(%s, ''on reflection'')', :request), 'an approver takes an unused approval back');
RESET SESSION AUTHORIZATION;
SELECT throws_ok('SELECT hub.require_approval(''transfer'', ''{"n": 1}'')', 'CH303', NULL, 'and then it is gone');
DELETE FROM hub.approval_policy WHERE action = 'transfer';
INSERT INTO hub.approval_policy VALUES ('parade', 1, '{hub_compliance}', true, '1 day');
SET SESSION AUTHORIZATION anna;
SELECT hub.request_approval('parade', '{}', 'fun') AS request \gset
SET SESSION AUTHORIZATION dora;
SELECT hub.approve(:request) \g /dev/null
SET SESSION AUTHORIZATION anna;
SELECT hub.request_approval('parade', '{"n": 2}', 'more fun') AS request \gset
RESET SESSION AUTHORIZATION;
DELETE FROM hub.approval_policy WHERE action = 'parade';
SET SESSION AUTHORIZATION bert;
SELECT throws_ok(format('SELECT hub.approve(%s)', :request), 'CH205', NULL, 'without a policy nobody is an approver');
RESET SESSION AUTHORIZATION;
SELECT throws_ok('SELECT hub.require_approval(''parade'', ''{}'')', 'CH303', NULL, 'without a policy no approval is good');

-- withdrawal
SET SESSION AUTHORIZATION anna;
SELECT hub.request_approval('transfer', '{"n": 2}', 'asked by anna') AS request \gset
SET SESSION AUTHORIZATION dora;
SELECT throws_ok(format('SELECT hub.withdraw_approval(%s)', :request), 'CH205', NULL, 'only who asked can withdraw');
SET SESSION AUTHORIZATION anna;
SELECT lives_ok(format('SELECT hub.withdraw_approval(%s)', :request), 'who asked can');
SET SESSION AUTHORIZATION dora;
SELECT throws_ok(format('SELECT hub.approve(%s)', :request), 'CH303', NULL, 'and then nobody approves');
SELECT throws_ok(format('SELECT hub.reject(%s)', :request), 'CH303', NULL, 'or rejects');
SET SESSION AUTHORIZATION anna;
SELECT throws_ok(format('SELECT hub.withdraw_approval(%s)', :request), 'CH303', NULL, 'nor withdraws again');
SELECT hub.request_approval('transfer', '{"n": 7}', 'asked by anna') AS request \gset
SET SESSION AUTHORIZATION dora;
SELECT hub.approve(:request) \g /dev/null
SET SESSION AUTHORIZATION anna;
SELECT lives_ok(format('SELECT hub.withdraw_approval(%s)', :request), 'what was approved can be withdrawn too');
RESET SESSION AUTHORIZATION;
SELECT throws_ok('SELECT hub.require_approval(''transfer'', ''{"n": 7}'')', 'CH303', NULL, 'and is not used then');
SELECT hub.request_approval('transfer', '{"n": 8}', 'asked by the owner') AS request \gset
SET SESSION AUTHORIZATION anna;
SELECT throws_ok(format('SELECT hub.withdraw_approval(%s)', :request), 'CH205', NULL, 'a member cannot withdraw what a superuser asked for');
RESET SESSION AUTHORIZATION;
SELECT lives_ok(format('SELECT hub.withdraw_approval(%s)', :request), 'who can');
SET SESSION AUTHORIZATION anna;
SELECT throws_ok('SELECT hub.withdraw_approval(0)', '42704', NULL, 'what does not exist cannot be withdrawn');
SELECT throws_ok('SELECT hub.request_approval(''parade'', ''{}'', ''fun'')', '22023', NULL, 'an action that nobody knows');
SELECT throws_ok('SELECT hub.request_approval(''transfer'', ''[]'', ''fun'')', '22023', NULL, 'parameters that are no object');
SELECT throws_ok('SELECT hub.request_approval(''transfer'', ''{}'', '' '')', '22023', NULL, 'no reason');

-- what was changed behind the votes
SELECT hub.request_approval('transfer', '{"n": 3}', 'asked by anna') AS request \gset
RESET SESSION AUTHORIZATION;
UPDATE hub.approval_request SET params = '{"n": 4}' WHERE id = :request;
SET SESSION AUTHORIZATION dora;
SELECT throws_ok(format('SELECT hub.approve(%s)', :request), 'CH303', NULL, 'a request that was changed cannot be approved');
SET SESSION AUTHORIZATION anna;
SELECT hub.request_approval('change_retention', '{"n": 3}', 'asked by anna') AS request \gset
SET SESSION AUTHORIZATION dora;
SELECT hub.approve(:request) \g /dev/null
RESET SESSION AUTHORIZATION;
UPDATE hub.approval_request SET action = 'transfer' WHERE id = :request;
SELECT throws_ok('SELECT hub.require_approval(''transfer'', ''{"n": 3}'')', 'CH303', NULL, 'a vote for one action is none for another');
SET SESSION AUTHORIZATION anna;
SELECT hub.request_approval('transfer', '{"n": 10}', 'asked by anna') AS request \gset
SET SESSION AUTHORIZATION dora;
SELECT hub.reject(:request) \g /dev/null
RESET SESSION AUTHORIZATION;
UPDATE hub.approval_request SET status = 'approved' WHERE id = :request;
SELECT throws_ok('SELECT hub.require_approval(''transfer'', ''{"n": 10}'')', 'CH303', NULL, 'a rejection is no approval, whatever the request says');
SET SESSION AUTHORIZATION anna;
SELECT hub.request_approval('transfer', '{"n": 5}', 'asked by anna') AS request \gset
RESET SESSION AUTHORIZATION;
INSERT INTO hub.approval_vote SELECT id, member_id, login, false, true, params_hash FROM hub.approval_request WHERE id = :request;
UPDATE hub.approval_request SET status = 'approved' WHERE id = :request;
SELECT hub.set_approval_policy('transfer', 1, '{hub_agent}') \g /dev/null
SELECT throws_ok('SELECT hub.require_approval(''transfer'', ''{"n": 5}'')', 'CH303', NULL, 'a vote of the requester does not count, however it came');
SELECT hub.set_approval_policy('transfer', 1, '{hub_compliance}') \g /dev/null
SET SESSION AUTHORIZATION anna;
SELECT hub.request_approval('transfer', '{"n": 6}', 'asked by anna') AS request \gset
SET SESSION AUTHORIZATION dora;
SELECT hub.approve(:request) \g /dev/null
RESET SESSION AUTHORIZATION;
UPDATE hub.approval_request SET expires_at = now() WHERE id = :request;
SELECT throws_ok('SELECT hub.require_approval(''transfer'', ''{"n": 6}'')', 'CH303', NULL, 'an approval that has expired is not used');
UPDATE hub.approval_request SET expires_at = now() + interval '1 day' WHERE id = :request;
SELECT is(hub.require_approval('transfer', '{"n": 6}'), :request::bigint, 'one that has not is');

-- a rule made easier does not decide what waits
SELECT hub.set_approval_policy('transfer', 2, '{hub_compliance}') \g /dev/null
SET SESSION AUTHORIZATION anna;
SELECT hub.request_approval('transfer', '{"n": 11}', 'asked by anna') AS request \gset
SET SESSION AUTHORIZATION dora;
SELECT is(hub.approve(:request), 'pending', 'one vote of two');
RESET SESSION AUTHORIZATION;
SELECT hub.set_approval_policy('transfer', 1, '{hub_compliance}') \g /dev/null
SELECT throws_ok('SELECT hub.require_approval(''transfer'', ''{"n": 11}'')', 'CH303', NULL, 'is still pending where one would do by now');

-- a role made like an approver's approves
SELECT hub.create_role('hub_auditor', 'hub_compliance') \g /dev/null
SELECT hub.set_member_role(:carla, 'hub_auditor') \g /dev/null
SET SESSION AUTHORIZATION carla;
SELECT is(hub.approve(:request), 'approved', 'a role like an approver''s approves');

-- approvers are notified, without what was asked for
RESET SESSION AUTHORIZATION;
\set heard `psql -XAtq -d "$DATABASE" -U anna -c 'LISTEN customer_hub_approval' -c "SELECT hub.request_approval('transfer', '{\"secret\": 1}', 'hush')" 2>&1`
SELECT ok(:'heard' LIKE '%Asynchronous notification "customer_hub_approval"%"step": "requested"%', 'a request is notified');
SELECT ok(:'heard' NOT LIKE '%secret%' AND :'heard' NOT LIKE '%hush%', 'without its parameters and reason');
SELECT * FROM finish();
